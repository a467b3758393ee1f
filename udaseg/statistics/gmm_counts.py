"""Count the pixels of each class by position and depth, from which Gaussian mixtures are fitted.

Pixels are counted, not stored: one count for each class, column, row and depth bin. The cost of the fit does not
depend on the number of pixels.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from udaseg import config
from udaseg.data.depth import FAR, inverse_depth
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress, map_in_order, with_progress
from udaseg.statistics.depth_grid import grid_size, to_grid


class GmmCounts:
    """Exact pixel counts of each class by column, row and depth bin on the grid; parts add up in any order.

    `counts_CHWB` is uint32 [C, h, w, bins]. `raw` is the histogram of the raw depth in cm, int64 [C, 65536]. Bins have
    equal widths in log(1 + d / 8) of the inverse depth d. A raw depth of 0 is no measurement and is not counted. Nor
    is 65535, except in a class called "sky". `compat` counts both, as the published tables did.
    """

    def __init__(self, classes: Sequence[str], grid: tuple[int, int], *, bins: int = 128, compat: bool = False):
        self.classes, self.grid, self.compat = tuple(classes), (grid[0], grid[1]), compat
        self.counts_CHWB = np.zeros((len(self.classes), *self.grid, bins), np.uint32)
        self.raw = np.zeros((len(self.classes), FAR + 1), np.int64)
        position = np.log1p(inverse_depth(np.arange(FAR + 1)) / 8)
        edges = np.linspace(position.min(), position.max(), bins + 1)[1:-1]
        self.bin = np.searchsorted(edges, position).astype(np.uint16)
        self._far = np.array([compat or name == "sky" for name in self.classes])

    def add(self, labels_HW: np.ndarray, cm_HW: np.ndarray) -> None:
        """Count one image: uint8 train ids [h, w] and uint16 centimetres [h, w], both on the grid (see `to_grid`).

        Ids of no class are not counted. Raises UdasegError where the size is not that of the grid.
        """
        for name, image in (("labels", labels_HW), ("depth", cm_HW)):
            if image.shape != self.grid:
                raise UdasegError(
                    f"{name} of {image.shape}, the grid is {self.grid}", "resample both to the grid first"
                )
        assert labels_HW.dtype == np.uint8
        assert cm_HW.dtype == np.uint16
        _count(labels_HW, cm_HW, self.bin, self._far, self.compat, self.counts_CHWB, self.raw)

    def merge(self, other: "GmmCounts") -> None:
        """Add the counts of another part of the same dataset."""
        assert (self.classes, self.compat) == (other.classes, other.compat)
        assert self.counts_CHWB.shape == other.counts_CHWB.shape
        self.counts_CHWB += other.counts_CHWB
        self.raw += other.raw


def count_for_gmm(view: View, settings: config.Gmm, *, progress: Progress | None = None) -> GmmCounts:
    """Count every pixel of a labelled set by class, place on the grid and depth.

    Without `settings.grid` the grid is that of a stride-8 network at the size of the view, or at the size of the
    first image.
    """
    source = view.images
    grid = settings.grid or grid_size(*(view.size or source.label(0).shape))
    counts = GmmCounts(source.space.classes, grid, compat=settings.compat)

    def read_on_grid(i: int) -> tuple[np.ndarray, np.ndarray]:
        return to_grid(source.label(i), counts.grid), to_grid(source.depth(i), counts.grid)

    shard = processes.shard(range(len(source)))
    for labels_HW, cm_HW in with_progress(map_in_order(read_on_grid, shard), len(shard), progress):
        counts.add(labels_HW, cm_HW)
    counts.counts_CHWB, counts.raw = processes.sum_of_all(counts.counts_CHWB), processes.sum_of_all(counts.raw)
    return counts


@njit(cache=True, nogil=True)
def _count(labels_HW, cm_HW, bins, far, compat, counts_CHWB, raw):
    for y in range(labels_HW.shape[0]):
        for x in range(labels_HW.shape[1]):
            label, cm = labels_HW[y, x], cm_HW[y, x]
            if label < len(raw) and (compat or (cm > 0 and (cm < FAR or far[label]))):
                counts_CHWB[label, y, x, bins[cm]] += 1
                raw[label, cm] += 1
