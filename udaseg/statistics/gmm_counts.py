"""Count the pixels of the source by class, place and depth."""

import numpy as np

from udaseg.config import Gmm
from udaseg.data.image_sets import View
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress, map_in_order, with_progress
from udaseg.statistics.depth_density import grid_size, to_grid
from udaseg.statistics.gmm import GmmCounts


def count_for_gmm(view: View, settings: Gmm, *, progress: Progress | None = None) -> GmmCounts:
    """Count every pixel of a labelled set by class, place on the grid and depth.

    Without `settings.grid` the grid is that of a stride-8 network at the size of the view, or at the size of the
    first image.
    """
    source = view.images
    grid = settings.grid or grid_size(*(view.size or source.label(0).shape))
    counts = GmmCounts(source.space.classes, grid, compat=settings.compat)

    def sampled(i: int) -> tuple[np.ndarray, np.ndarray]:
        return to_grid(source.label(i), counts.grid), to_grid(source.depth(i), counts.grid)

    shard = processes.shard(range(len(source)))
    for labels_HW, cm_HW in with_progress(map_in_order(sampled, shard), len(shard), progress):
        counts.add(labels_HW, cm_HW)
    counts.counts_CHWB, counts.raw = processes.sum_of_all(counts.counts_CHWB), processes.sum_of_all(counts.raw)
    return counts
