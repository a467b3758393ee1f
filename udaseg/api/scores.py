"""Scores: exact counts of true and predicted classes, and the IoU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udaseg import metrics
from udaseg.api.arrays import Values, require_classes, to_labels
from udaseg.errors import UdasegError


def confusion(truth: Values, prediction: Values, classes: int, out: np.ndarray | None = None) -> np.ndarray:
    """Return the confusion matrix of images, int64 [C, C]: pixels by true class (rows) and predicted class (columns).

    truth and prediction are ids of one shape, arrays or tensors; pixels with the truth 255 are left out. The counts are
    added to `out` where it is given: the matrix of a dataset is the sum over its images. Raises UdasegError for other
    shapes, ids and numbers of classes, and where a pixel with a truth has no predicted class.
    """
    require_classes(classes)
    is_matrix = isinstance(out, np.ndarray) and out.shape == (classes, classes) and out.dtype == np.int64
    if out is not None and not is_matrix:
        found = f"{out.dtype} {list(out.shape)}" if isinstance(out, np.ndarray) else type(out).__name__
        raise UdasegError(
            f"out is {found}, expected int64 [{classes}, {classes}]",
            "start with out=None, and pass on what this returns",
        )
    return metrics.confusion(to_labels("truth", truth), to_labels("prediction", prediction), classes, out)


def scores(confusion: np.ndarray, classes: Sequence[str]) -> metrics.Scores:
    """Return the scores of a confusion matrix [C, C] of these class names: `iou`, `miou`, `pixel_accuracy`, ...

    IoU = n_cc / (row + column - n_cc), of the counts of all images. A class without a true or predicted pixel has the
    iou None and is in no mean. `miou16` and `miou13` are over the classes of SYNTHIA. Raises UdasegError where the
    matrix does not fit the names.
    """
    return metrics.scores(confusion, classes)
