"""Spatial aggregation: remove the label of components that are too small (depth-distribution paper, Algorithm 1)."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE


@njit(inline="always")
def _root(parent, run):
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit(inline="always")
def _list_runs(row, n, begin, end, run_class):
    """Write the runs of one row, stretches of one class, from index n on; return the next free index."""
    start, width = 0, len(row)
    for x in range(1, width):
        if row[x] != row[x - 1]:
            begin[n], end[n], run_class[n] = start, x, row[x - 1]
            n += row[x - 1] != IGNORE  # a run without a label is overwritten by the next
            start = x
    begin[n], end[n], run_class[n] = start, width, row[width - 1]
    return n + (row[width - 1] != IGNORE)


@njit(inline="always")
def _join(run, above, above_end, begin, end, run_class, parent):
    """Join a run with the runs of its class in the row above that it touches, at corners too.

    The runs above are those from `above` to above_end. Returns the first of them that the next run may touch.
    """
    while above < above_end and end[above] < begin[run]:
        above += 1
    touching = above
    while touching < above_end and begin[touching] <= end[run]:
        if run_class[touching] == run_class[run]:
            root, other = _root(parent, run), _root(parent, touching)
            parent[max(root, other)] = min(root, other)  # the earlier run is the root
        touching += 1
    return above


@njit(cache=True, nogil=True)
def _remove_small(label, minimum, begin, end, run_class, parent, size):
    """Overwrite with IGNORE the 8-connected components that are smaller than the minimum of their class.

    Components are sets of runs, joined by union-find. minimum int64 [256] is -1 where a class has none. The last five
    arguments have room for all runs; `size` is zero. Returns the number of runs whose class has no minimum; then
    nothing is overwritten.
    """
    height = len(label)
    first = np.empty(height + 1, np.int64)  # the first run of each row
    n = 0
    for y in range(height):
        first[y] = n
        n = _list_runs(label[y], n, begin, end, run_class)
        above, above_end = first[y - 1] if y > 0 else 0, first[y]
        for run in range(first[y], n):
            parent[run] = run
            above = _join(run, above, above_end, begin, end, run_class, parent)
    first[height] = n
    without_minimum = 0
    for run in range(n):
        parent[run] = parent[parent[run]]  # a root, since the runs before have theirs
        size[parent[run]] += end[run] - begin[run]
        without_minimum += minimum[run_class[run]] < 0
    if without_minimum > 0:
        return without_minimum
    for y in range(height):
        for run in range(first[y], first[y + 1]):
            if size[parent[run]] < minimum[run_class[run]]:
                label[y, begin[run] : end[run]] = IGNORE
    return 0


def aggregate(label: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """Set to 255 every 8-connected component of one class with fewer pixels than the minimum of its class.

    label is uint8 [H, W], 255 unlabelled; minimum is an integer [C]. Returns a new uint8 [H, W]. Raises UdasegError for
    other dtypes and ranks, and for a label of a class without a minimum. Source: Algorithm 1 of the depth-distribution
    paper.
    """
    minimum = np.asarray(minimum)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise UdasegError(
            f"label is {label.dtype} {list(label.shape)}, expected uint8 [H, W]", "pass the label of one image"
        )
    if minimum.ndim != 1 or minimum.dtype.kind not in "iu":
        raise UdasegError(
            f"minimum is {minimum.dtype} {list(minimum.shape)}, expected integers [C]", "pass one number for each class"
        )
    if (minimum < 0).any():
        raise UdasegError(f"minimum is {minimum.tolist()}, expected pixel counts from 0", "0 keeps every component")
    minimum_of_id = np.full(256, -1, np.int64)
    minimum_of_id[: len(minimum)] = minimum
    label = label.copy(order="C")
    if not label.size:
        return label
    runs = np.count_nonzero(label[:, 1:] != label[:, :-1]) + len(label)
    begin, end, parent, run_class = *np.empty((3, runs), np.int32), np.empty(runs, np.uint8)
    if _remove_small(label, minimum_of_id, begin, end, run_class, parent, np.zeros(runs, np.int32)):
        raise UdasegError(
            f"the label holds classes above {len(minimum) - 1}, and there are {len(minimum)} minima",
            "use the class counts of the same class space as the labels",
        )
    return label


def size_thresholds(
    class_counts: Sequence[float] | np.ndarray, base0: float, base1: float, area_scale: float = 1.0
) -> np.ndarray:
    """Return the size of the smallest component to keep of each class, int64 [C] pixels.

    base0 + (N_c - N_min) / (N_max - N_min) * base1, rounded, where N_c is the frequency of the class in the source:
    the rarest class gets base0 pixels, the most frequent base0 + base1. Where all counts are equal, every class gets
    base0. class_counts [C] are pixels or shares. area_scale multiplies both bases, for images of another size than the
    1280x760 pixels of the paper. Raises UdasegError for negative counts or bases. Source: the depth-distribution
    paper, Algorithm 1.
    """
    counts = np.asarray(class_counts, np.float64)
    if counts.ndim != 1 or not counts.size or not np.isfinite(counts).all() or (counts < 0).any():
        raise UdasegError(
            f"class counts are {counts.tolist()}, expected numbers from 0, one for each class",
            "count the source again: udaseg data stats --force",
        )
    if not (base0 >= 0 and base1 >= 0 and area_scale > 0):
        raise UdasegError(
            f"base0 is {base0}, base1 {base1} and the area scale {area_scale}",
            "the bases are pixel counts from 0, the scale is above 0",
        )
    spread = np.ptp(counts)
    share = (counts - counts.min()) / spread if spread > 0 else np.zeros_like(counts)
    return np.rint((base0 + share * base1) * area_scale).astype(np.int64)
