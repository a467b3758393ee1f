"""Class-balanced sampling: images that show rare classes are drawn more often (FADA)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SPAN = 3000  # draws after which the counting starts anew


@dataclass(frozen=True, eq=False)
class ClassBalance:
    """Which classes each image shows: bool [images, C]. An image that shows none is never drawn."""

    shown: np.ndarray

    def index(self, key: tuple[int, ...], position: int) -> int:
        """Give the image to draw at a position; a pure function of the key and the position.

        Within a span, a class c is drawn with a probability proportional to 1 / log(1.01 + g_c), g_c its share of all
        that the images drawn so far show, and then the next image of a shuffled list of those that show it.
        """
        span, place = divmod(position, SPAN)
        return int(_drawn(self, (*key, span))[place])


@lru_cache(maxsize=4)
def _drawn(balance: ClassBalance, key: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(key)
    shown = balance.shown
    lists = [rng.permutation(np.flatnonzero(column)) for column in shown.T]
    there = np.array([len(images) > 0 for images in lists])
    seen, taken = np.zeros(shown.shape[1]), np.zeros(shown.shape[1], np.int64)
    drawn = np.empty(SPAN, np.int64)
    for place in range(SPAN):
        wanted = there / np.log(1.01 + seen / max(seen.sum(), 1.0))
        c = int(rng.choice(len(wanted), p=wanted / wanted.sum()))
        drawn[place] = lists[c][taken[c] % len(lists[c])]
        taken[c] += 1
        seen += shown[drawn[place]]
    return drawn
