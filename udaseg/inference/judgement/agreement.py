"""Agreement of labels: of one network on two views of an image, or of several networks on the same pixels."""

from collections.abc import Sequence

import numpy as np


def agreement(labels_P: np.ndarray, other_P: np.ndarray) -> float:
    """Return the share of pixels that have the same class in both: labels of any integer type and one shape.

    Of two networks it is one minus their disagreement, which estimates the error of either (Jiang et al., Assessing
    Generalization of SGD via Disagreement, ICLR 2022).
    """
    return float((labels_P == other_P).mean())


def mean_agreements(labels: Sequence[np.ndarray]) -> list[float | None]:
    """Return the mean agreement of each of several networks with all others; None for a single one.

    `labels` has the classes that each network gives, integers [P], for the same P pixels.
    """
    if len(labels) < 2:
        return [None] * len(labels)
    table_MM = np.zeros((len(labels), len(labels)))
    for i, one in enumerate(labels):
        for j in range(i):
            table_MM[i, j] = table_MM[j, i] = agreement(one, labels[j])
    return (table_MM.sum(1) / (len(labels) - 1)).tolist()
