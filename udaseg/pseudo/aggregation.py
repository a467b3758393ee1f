"""Spatial aggregation: keep only what is confident and large enough (Algorithm 1 of the depth-distribution paper)."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE

# Eight pixels are the bytes of a word, the first the lowest: all but the highest bit of each, and their numbers.
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_NUMBERS = np.uint64(0x0001020304050607)
_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)  # eight times IGNORE


@njit(cache=True, nogil=True)
def _most_runs(words):
    """Return how many runs of equal bytes there may be at most; a loop over it becomes vector code.

    Eight equal bytes begin a run where the eight before them are others; eight that differ may begin eight.
    """
    most = 0
    for y in range(words.shape[0]):
        row = words[y]
        mixed = changes = 0
        for i in range(1, len(row)):
            mixed += ((row[i] << np.uint64(8)) ^ row[i]) >> np.uint64(8) != 0
            changes += row[i] != row[i - 1]
        most += 8 * (mixed + 1) + changes
    return most


@njit(inline="always")
def _root(parent, run):
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit(cache=True, nogil=True)
def _aggregate(words, label, minimum, begin, end, kind, parent, size):
    """Overwrite with IGNORE the 8-connected components that are smaller than the minimum of their class.

    A component is a set of runs, stretches of one class in one row, joined by union-find where they touch a run of
    the row above. `words` views the bytes of `label` eight at a time; the columns are padded with IGNORE. `begin`,
    `end`, `kind`, `parent` and `size` have room for all runs, `size` is zero. Returns the number of runs whose class
    has no minimum (-1); nothing is overwritten where there are any.
    """
    height = len(label)
    first = np.empty(height + 1, np.int64)
    n = 0
    for y in range(height):
        first[y] = n
        above, above_end = first[y - 1] if y > 0 else 0, n
        last = np.uint8(IGNORE)
        # One word more than there are closes the run that reaches the border.
        for i in range(words.shape[1] + 1):
            word = words[y, i] if i < words.shape[1] else _NOTHING
            differs = word ^ ((word << np.uint64(8)) | np.uint64(last))  # each pixel from the one before
            if differs == 0:
                continue
            # The highest bit of each byte that is not zero: only pixels where a run ends or begins are looked at.
            marks = (((differs & _LOW_BITS) + _LOW_BITS) | differs) & ~_LOW_BITS
            while marks != 0:
                lowest = marks & (~marks + np.uint64(1))
                marks ^= lowest
                place = (lowest >> np.uint64(7)) * _NUMBERS >> np.uint64(56)
                x = 8 * i + np.int64(place)
                value = np.uint8(word >> np.uint64(8) * place)
                if last != IGNORE:
                    end[n] = x
                    kind[n] = last
                    parent[n] = n
                    # Runs touch at corners too, so [begin, end] is compared with both its ends.
                    while above < above_end and end[above] < begin[n]:
                        above += 1
                    touching, own = above, n
                    while touching < above_end and begin[touching] <= x:
                        if kind[touching] == last:
                            other = _root(parent, touching)
                            # The earlier run becomes the root, so a run's parent is never a later one.
                            if other < own:
                                parent[own] = other
                                own = other
                            elif own < other:
                                parent[other] = own
                        touching += 1
                    n += 1
                last = value
                if value != IGNORE:
                    begin[n] = x
    first[height] = n
    unknown = 0
    for run in range(n):
        parent[run] = parent[parent[run]]  # a root, since those before have theirs
        size[parent[run]] += end[run] - begin[run]
        unknown += minimum[kind[run]] < 0
    if unknown > 0:
        return unknown
    for y in range(height):
        for run in range(first[y], first[y + 1]):
            if size[parent[run]] < minimum[kind[run]]:
                label[y, begin[run] : end[run]] = IGNORE
    return 0


def aggregate(label: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """Set to 255 every 8-connected component of one class with fewer pixels than the minimum of its class.

    label is uint8 [H, W], 255 unlabelled; minimum is an integer [C]. Returns a new uint8 [H, W]. Raises UdasegError for
    other dtypes and ranks and where the label holds a class without a minimum. The same as labelling the components of
    each class with a full 3x3 neighbourhood.
    """
    minimum = np.asarray(minimum)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise UdasegError(f"label is {label.dtype} {list(label.shape)}, expected uint8 [H, W]")
    if minimum.ndim != 1 or minimum.dtype.kind not in "iu":
        raise UdasegError(f"minimum is {minimum.dtype} {list(minimum.shape)}, expected integers [C]")
    if (minimum < 0).any():
        raise UdasegError(f"minimum is {minimum.tolist()}, expected pixel counts from 0")
    height, width = label.shape
    padded = np.empty((height, -(-width // 8) * 8), np.uint8)
    padded[:, :width], padded[:, width:] = label, IGNORE
    of_class = np.full(256, -1, np.int64)
    of_class[: len(minimum)] = minimum
    words = padded.view(np.uint64)
    runs, column = _most_runs(words), np.uint16 if width < 2**16 else np.int32
    begin, end, kind = np.empty(runs, column), np.empty(runs, column), np.empty(runs, np.uint8)
    if _aggregate(words, padded, of_class, begin, end, kind, np.empty(runs, np.int32), np.zeros(runs, np.int32)):
        raise UdasegError(
            f"the label holds classes above {len(minimum) - 1}, and there are {len(minimum)} minima",
            "use the class counts of the same class space as the labels",
        )
    return np.ascontiguousarray(padded[:, :width])


def size_thresholds(class_counts: Sequence[float], base0: float, base1: float, area_scale: float = 1.0) -> np.ndarray:
    """Return the smallest component that is kept of each class, int64 [C] pixels, from the source's class frequencies.

    base0 + (N_c - N_min) / (N_max - N_min) * base1, rounded: the rarest class gets base0 pixels, the most frequent
    base0 + base1; base0 for every class where all counts are equal. class_counts [C] are pixels or shares. area_scale
    multiplies both bases, for images of another size than the bases are meant for (the paper's: 1280x760).
    Raises UdasegError for negative counts or bases.
    """
    counts = np.asarray(class_counts, np.float64)
    if counts.ndim != 1 or not counts.size or not np.isfinite(counts).all() or (counts < 0).any():
        raise UdasegError(f"class counts are {counts.tolist()}, expected numbers from 0, one for each class")
    if not (base0 >= 0 and base1 >= 0 and area_scale > 0):
        raise UdasegError(
            f"base0 is {base0}, base1 {base1} and the area scale {area_scale}",
            "the bases are pixel counts from 0, the scale is above 0",
        )
    spread = np.ptp(counts)
    share = (counts - counts.min()) / spread if spread > 0 else np.zeros_like(counts)
    return np.rint((base0 + share * base1) * area_scale).astype(np.int64)
