"""Count the pixels of the source by class, place and depth."""

import numpy as np

from udaseg.data.records import LabelledSet
from udaseg.depth.density import grid_size, to_grid
from udaseg.depth.mixtures import MixtureCounts
from udaseg.errors import UdasegError
from udaseg.parallel import Progress, counted, ordered
from udaseg.recipe import HxW


def mixture_counts(
    source: LabelledSet, grid: HxW | None, size: HxW | None, *, progress: Progress | None = None
) -> MixtureCounts:
    """Count every pixel of the source by class, place on the grid and depth.

    The grid is that of a stride-8 network on pictures of `size` where none is given. Raises UdasegError where neither
    says what it is.
    """
    if grid is None and size is None:
        size = source.label(0).shape
    counts = MixtureCounts(source.space.classes, grid or grid_size(*size))

    def sampled(i: int) -> tuple[np.ndarray, np.ndarray]:
        label_HW, cm_HW = source.label(i), source.depth(i)
        if label_HW.shape != cm_HW.shape:
            raise UdasegError(
                f"{source.records[i].depth}: depth of {cm_HW.shape}, its label has {label_HW.shape}",
                "unpack depth and labels from the same release",
            )
        return to_grid(label_HW, counts.grid), to_grid(cm_HW, counts.grid)

    for labels_HW, cm_HW in counted(ordered(sampled, range(len(source))), len(source), progress):
        counts.add(labels_HW, cm_HW)
    return counts
