"""What training draws more often: images that show rare classes (FADA), and crops on rare classes (CBST)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from udaseg.metrics import count_ids

SPAN = 3000  # draws after which the counts of class-balanced sampling start again
RAREST = 3  # classes that mining uses where no class is rare


@dataclass(frozen=True, eq=False)
class ClassBalance:
    """Draw images with rare classes more often. `shown`, bool [images, C], says which classes each image shows.

    An image that shows no class is never drawn.
    """

    shown: np.ndarray

    def index(self, key: tuple[int, ...], position: int) -> int:
        """Return the image at a position of the draw, a pure function of the key and the position.

        Within SPAN draws, class c has the probability 1 / log(1.01 + g_c), up to a factor. g_c is the share of c among
        the classes that the images drawn before show. The image is the next one of a shuffled list of those with c.
        """
        span, offset = divmod(position, SPAN)
        return int(_draw_span(self, (*key, span))[offset])


@lru_cache(maxsize=4)
def _draw_span(balance: ClassBalance, key: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(key)
    shown = balance.shown
    lists = [rng.permutation(np.flatnonzero(column)) for column in shown.T]
    exists_C = np.array([len(images) > 0 for images in lists])
    counts_C, positions_C = np.zeros(shown.shape[1]), np.zeros(shown.shape[1], np.int64)
    indices = np.empty(SPAN, np.int64)
    for draw in range(SPAN):
        weights_C = exists_C / np.log(1.01 + counts_C / max(counts_C.sum(), 1.0))
        c = int(rng.choice(len(weights_C), p=weights_C / weights_C.sum()))
        indices[draw] = lists[c][positions_C[c] % len(lists[c])]
        positions_C[c] += 1
        counts_C += shown[indices[draw]]
    return indices


@dataclass(frozen=True)
class Mining:
    """Centre a crop, with a probability, on one of the rare `classes`, or on one of `otherwise` where none is there."""

    probability: float
    classes: tuple[int, ...]
    otherwise: tuple[int, ...] = ()

    def corner(self, label_HW: np.ndarray, crop: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
        """Return the top left corner (row, column) of a crop around a random pixel of a rare class, or None.

        A class is drawn from the rare ones in the label, with equal probabilities, then a pixel of it. The crop is
        centred on the pixel and moved into the image. The result is None with a probability of 1 - `probability`, and
        where the label has none of the classes.
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


def mine_rare_classes(probability: float, predicted: Sequence[int], below: float) -> Mining:
    """Return the mining of all classes with less than a share `below` of the predicted pixels [C] (CBST).

    Where a label shows none of them, mining uses the three rarest classes.
    """
    total = sum(predicted)
    order = sorted(range(len(predicted)), key=lambda c: (predicted[c], c))
    rarest = tuple(c for c in order if predicted[c] > 0)[:RAREST]
    return Mining(probability, tuple(c for c in order if predicted[c] < below * total), rarest)
