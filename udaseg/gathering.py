"""Sums over whole datasets: features by class for the prototypes, pixels by place and depth for the mixtures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.data.records import ImageSet, LabelledSet
from udaseg.data.transforms import resize_label
from udaseg.depth import grid_size, to_grid
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace
from udaseg.mixtures import MixtureCounts
from udaseg.parallel import Progress, counted, ordered
from udaseg.prototypes import Centroids, Prototypes
from udaseg.recipe import HxW, Predict

Part = tuple[ImageSet | LabelledSet, Callable[[int], np.ndarray], HxW | None]


def prototypes(
    model: Path, space: ClassSpace, parts: Sequence[Part], settings: Predict, *, progress: Progress | None = None
) -> tuple[Prototypes, dict[str, Any]]:
    """Average the features of every class in one pass; return the prototypes and the manifest's environment.

    A part is a set of pictures, the reader of their labels (index to uint8 [H, W]) and the size at which the network
    sees them. Labels are brought to the features' grid, nearest; ignored pixels count nowhere.
    """
    from udaseg.models.inference import Runner

    runner = Runner(model, space.classes, settings.precision)
    sums = Centroids(len(space), runner.model.feature_channels)
    done, total = 0, sum(len(pictures) for pictures, _, _ in parts)
    for pictures, label, size in parts:
        for indices, _, output in runner.run(pictures, range(len(pictures)), size, settings.batch):
            for i, features_DHW in zip(indices, output.features, strict=True):
                features_HWD = features_DHW.permute(1, 2, 0).contiguous()
                sums.add(features_HWD.cpu(), resize_label(label(i), tuple(features_HWD.shape[:2])))
            done += len(indices)
            if progress is not None:
                progress(done, total)
    return Prototypes(sums.centroids(), sums.counts, space.classes, "features"), runner.environment


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
