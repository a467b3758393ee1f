"""Small-class mining: target crops that are centred on a class the network hardly ever predicts (CBST)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udaseg.data.stats import histogram


@dataclass(frozen=True)
class Mining:
    """How often a crop is placed on a rare class, and which classes are rare."""

    probability: float
    classes: tuple[int, ...]

    def corner(self, label_HW: np.ndarray, crop: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
        """Return the top left corner (row, column) of a crop around a random pixel of a rare class, or None.

        One of the rare classes in the label is drawn, each as likely as the other, then one of its pixels; the crop
        is centred on it and moved into the picture. None where the label has no rare class, and as often as
        `probability` is missed.
        """
        if rng.random() >= self.probability:
            return None
        present = histogram(label_HW)
        rare = [c for c in self.classes if present[c]]
        if not rare:
            return None
        pixels = np.flatnonzero(label_HW == rare[rng.integers(len(rare))])
        row, column = divmod(int(pixels[rng.integers(len(pixels))]), label_HW.shape[1])
        top, left = (
            min(max(centre - side // 2, 0), max(whole - side, 0))
            for centre, side, whole in zip((row, column), crop, label_HW.shape, strict=True)
        )
        return top, left


def rare_classes(predicted: Sequence[int], below: float) -> tuple[int, ...]:
    """List the classes with less than a share `below` of the predicted pixels [C], the rarest first."""
    total = sum(predicted)
    order = sorted(range(len(predicted)), key=lambda c: (predicted[c], c))
    return tuple(c for c in order if predicted[c] < below * total)
