"""Depth: inverse depth, a Gaussian mixture of each class over position and depth, and its density."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from udaseg.api.arrays import (
    ArrayOrTensor,
    Values,
    match_kind,
    require_filled,
    require_shape,
    require_size,
    to_array,
    to_labels,
)
from udaseg.data import depth
from udaseg.errors import UdasegError
from udaseg.statistics.depth_density import density
from udaseg.statistics.depth_grid import grid_size, to_grid
from udaseg.statistics.gmm import Gmm
from udaseg.statistics.gmm_counts import GmmCounts
from udaseg.statistics.gmm_fit import fit


def inverse_depth(cm: ArrayOrTensor) -> ArrayOrTensor:
    """Convert depth in centimetres to inverse depth, 65536 / (cm + 1): float32 of the same shape.

    cm holds whole numbers from 0 to 65535. Raises UdasegError for others. Source: SYNTHIA; Vu et al., DADA, ICCV 2019.
    """
    return match_kind(depth.inverse_depth(_to_centimetres(cm)), cm)


def depth_mixtures(
    images: Iterable[tuple[Values, Values]],
    classes: Sequence[str],
    components: int = 5,
    grid: tuple[int, int] | None = None,
    seed: int = 0,
) -> Gmm:
    """Fit a Gaussian mixture over (column, row, inverse depth) to the pixels of each class.

    images are pairs of a label, ids [H, W], 255 for no class, and its depth in centimetres, [H, W] of whole numbers, 0
    where it is unknown; 65535 is known for the class "sky" alone. Both are sampled on the `grid` (height, width), by
    default that of a network of stride 8. Pixels are counted, so memory and time of the fit do not grow with the
    images. Returns `weights` float64 [C, K], `means` and `variances` float64 [C, K, 3], and `grid`; a class without
    pixels has weights of 0. Raises UdasegError for no image, for other shapes, and for ids of no class. Source: Wu and
    Liu, depth distribution, NeurIPS 2022.
    """
    if components < 1:
        raise UdasegError(f"components is {components}, expected 1 or more", "5 are those of the paper")
    grid, counts = None if grid is None else require_size("grid", grid), None
    for label, cm in images:
        require_shape("label", label, "H W")
        require_shape("depth", cm, *[" ".join(map(str, label.shape))])
        label_HW, cm_HW = to_labels("label", label, len(classes)), _to_centimetres(cm)
        if counts is None:
            counts = GmmCounts(classes, grid or grid_size(*label_HW.shape))
        counts.add(to_grid(label_HW, counts.grid), to_grid(cm_HW, counts.grid))
    if counts is None:
        raise UdasegError("images holds no label and no depth, expected one pair or more", "open a dataset with depth")
    return fit(counts, components, seed=seed)


def depth_density(mixtures: Gmm, inverse_depth: ArrayOrTensor) -> ArrayOrTensor:
    """Return the density of every class at the position and inverse depth of each pixel.

    inverse_depth is float [H, W] or [N, H, W], sampled on the grid of the mixtures by the nearest pixel. Returns
    float32 [C, h, w] or [N, C, h, w] on that grid: a density per square of the grid and unit of inverse depth. Raises
    UdasegError for other shapes and an empty batch. Source: as `depth_mixtures`.
    """
    require_shape("inverse_depth", inverse_depth, "H W", "N H W")
    require_filled("inverse_depth", inverse_depth)
    values = to_array("inverse_depth", inverse_depth)
    maps = [density(mixtures, to_grid(one, mixtures.grid)) for one in values.reshape(-1, *values.shape[-2:])]
    return match_kind(np.stack(maps) if values.ndim == 3 else maps[0], inverse_depth)


def _to_centimetres(cm: Any) -> np.ndarray:
    values = to_array("depth", cm)
    if values.dtype.kind not in "iu" or (values.size and not (values.min() >= 0 and values.max() <= depth.FAR)):
        found = f", from {values.min()} to {values.max()}" if values.size else ""
        raise UdasegError(
            f"depth is {values.dtype}{found}, expected whole centimetres, 0 to 65535",
            "0 is unknown; 65535 is the sky, and what is farther than 655.34 m",
        )
    return values.astype(np.uint16)
