"""The density maps that the density head learns: the density of the predicted class, on tensors.

The mixtures have a grid of their own, see `depth_density`. Another grid covers the same image: the centre of its cell
is interpolated between the centres of the mixtures' cells.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from udaseg.statistics.depth_density import SCALE
from udaseg.statistics.gmm import Gmm


class DensityMaps:
    """Compute densities for batches of classes and inverse depths, without a gradient."""

    def __init__(self, gmm: Gmm):
        self._gmm = gmm
        self._tables = lru_cache(maxsize=8)(self._make_tables)

    @torch.no_grad()
    def density(self, classes_Nhw: Tensor, depth_Nhw: Tensor) -> Tensor:
        """Return the density p_c(x, y, d) of one class at each position: float32 [N, h, w].

        `classes_Nhw` is int64 and `depth_Nhw` float inverse depth. Equal to `depth_density.density` of that class.
        """
        height, width = depth_Nhw.shape[-2:]
        column_wCK, row_hCK, high_CK, low_CK, narrow_CK = self._tables(height, width, depth_Nhw.device)
        x_w, y_h1 = (torch.arange(side, device=depth_Nhw.device) for side in (width, height))
        position_NhwK = column_wCK[x_w, classes_Nhw] + row_hCK[y_h1[:, None], classes_Nhw]
        # The mean in two parts: with a tiny variance, its rounding would change the density.
        offset_NhwK = (depth_Nhw.float()[..., None] - high_CK[classes_Nhw]) - low_CK[classes_Nhw]
        return (position_NhwK - (offset_NhwK * narrow_CK[classes_Nhw]).square()).exp().sum(-1)

    def source(self, logits_NChw: Tensor, label_NHW: Tensor, depth_NHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the density map D_s of the source, 0 to 255, and the mask of its valid positions, [N, h, w].

        It is the density of the predicted class: at the true depth where the class is right, else at depth 0, so near
        0. `label_NHW` is uint8; `depth_NHW` is inverse depth, 0 where it is not known. A position is valid unless the
        predicted class is right and its depth is not known.
        """
        predicted_Nhw = logits_NChw.detach().argmax(1)
        grid = logits_NChw.shape[-2:]
        depth_Nhw = nearest(depth_NHW, grid)
        right_Nhw = nearest(label_NHW, grid) == predicted_Nhw
        map_Nhw = squashed(self.density(predicted_Nhw, torch.where(right_Nhw, depth_Nhw, 0)))
        return map_Nhw, ~right_Nhw | (depth_Nhw > 0)

    def target(self, logits_NChw: Tensor, depth_Nhw: Tensor) -> Tensor:
        """Return the density map D_t of the target, 0 to 255, float32 [N, h, w].

        It is the density of the predicted class at the predicted depth; 0 for an inverse depth of 0 or less.
        """
        depth_Nhw = depth_Nhw.detach()
        map_Nhw = squashed(self.density(logits_NChw.detach().argmax(1), depth_Nhw))
        return torch.where(depth_Nhw > 0, map_Nhw, 0)

    def _make_tables(self, height: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
        """Return the logarithms of the factors by column and by row, and mean (two parts) and scale of the depth."""
        weights, means, variances = self._gmm.weights, self._gmm.means, self._gmm.variances
        rows, columns = self._gmm.grid
        x, y = (centres(side, cells) for side, cells in ((width, columns), (height, rows)))
        with np.errstate(divide="ignore"):  # a component that is not there: minus infinity, density 0
            scale_CK = np.log(weights) - 0.5 * np.log((2 * np.pi) ** 3 * variances.prod(axis=2))
        column_wCK = -((x[:, None, None] - means[..., 0]) ** 2) / (2 * variances[..., 0])
        row_hCK = scale_CK - (y[:, None, None] - means[..., 1]) ** 2 / (2 * variances[..., 1])
        high_CK = means[..., 2].astype(np.float32)
        low_CK, narrow_CK = means[..., 2] - high_CK, np.sqrt(0.5 / variances[..., 2])
        tables = (column_wCK, row_hCK, high_CK, low_CK, narrow_CK)
        return tuple(torch.from_numpy(table.astype(np.float32)).to(device) for table in tables)


def squashed(density: Tensor) -> Tensor:
    """Map a density tensor to 0..255, as `depth_density.density_map` does: same shape."""
    return -255 * torch.expm1(-SCALE * density)


def centres(side: int, cells: int) -> np.ndarray:
    """Return the centres of `side` equal cells, float64, on an axis of `cells` cells with centres 0, 1, ..."""
    return (np.arange(side) + 0.5) * cells / side - 0.5


def nearest(image_NHW: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Resample labels or depth to an (h, w) grid by the nearest pixel centre, as `depth_grid.to_grid` does."""
    rows, columns = (
        (2 * torch.arange(cells, device=image_NHW.device) + 1) * side // (2 * cells)
        for side, cells in zip(image_NHW.shape[-2:], grid, strict=True)
    )
    return image_NHW[:, rows[:, None], columns]
