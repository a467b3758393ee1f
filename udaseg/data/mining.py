"""Small-class mining: target crops that are centred on a class the network hardly ever predicts (CBST)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udaseg.labels import count_ids

RAREST = 3  # classes that stand in where no class is rare


@dataclass(frozen=True)
class Mining:
    """How often a crop is placed on a rare class, which classes are rare, and which stand in where none of them is."""

    probability: float
    classes: tuple[int, ...]
    otherwise: tuple[int, ...] = ()

    def corner(self, label_HW: np.ndarray, crop: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
        """Return the top left corner (row, column) of a crop around a random pixel of a rare class, or None.

        One of the rare classes in the label is drawn, each as likely as the other, then one of its pixels; the crop
        is centred on it and moved into the image. A label without any has one of `otherwise`. None where it has
        none of these either, and as often as `probability` is missed.
        """
        if rng.random() >= self.probability:
            return None
        present = count_ids(label_HW)
        rare = [c for c in self.classes if present[c]] or [c for c in self.otherwise if present[c]]
        if not rare:
            return None
        pixels = np.flatnonzero(label_HW == rare[rng.integers(len(rare))])
        row, column = divmod(int(pixels[rng.integers(len(pixels))]), label_HW.shape[1])
        top, left = (
            min(max(centre - side // 2, 0), max(whole - side, 0))
            for centre, side, whole in zip((row, column), crop, label_HW.shape, strict=True)
        )
        return top, left


def mining(probability: float, predicted: Sequence[int], below: float) -> Mining:
    """Mine the classes with less than a share `below` of the predicted pixels [C], or else the three rarest (CBST)."""
    total = sum(predicted)
    order = sorted(range(len(predicted)), key=lambda c: (predicted[c], c))
    rarest = tuple(c for c in order if predicted[c] > 0)[:RAREST]
    return Mining(probability, tuple(c for c in order if predicted[c] < below * total), rarest)
