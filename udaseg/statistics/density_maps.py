"""The density maps that the density head learns, on tensors: what the mixtures say of the predicted class.

The mixtures lie on their own grid, see `depth_density`. Another grid covers the same image: the middle of a
cell is looked up at its place between the middles of the mixtures' cells.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from udaseg.statistics.depth_density import SCALE, Gmm


class DensityMaps:
    """Evaluate mixtures at every place of a batch: class and inverse depth in, density out, without a gradient."""

    def __init__(self, mixtures: Gmm):
        self._mixtures = mixtures
        self._tables = lru_cache(maxsize=8)(self._tabulated)

    @torch.no_grad()
    def density(self, classes_Nhw: Tensor, depth_Nhw: Tensor) -> Tensor:
        """Evaluate p_c(x, y, d) of one class at each place: int64 and float [N, h, w] to float32 [N, h, w].

        The same as `depth_density.density` for that class; places are (column, row) on the mixtures' grid.
        """
        height, width = depth_Nhw.shape[-2:]
        column_wCK, row_hCK, high_CK, low_CK, narrow_CK = self._tables(height, width, depth_Nhw.device)
        x_w, y_h1 = (torch.arange(side, device=depth_Nhw.device) for side in (width, height))
        place_NhwK = column_wCK[x_w, classes_Nhw] + row_hCK[y_h1[:, None], classes_Nhw]
        # The mean in two parts: its rounding would show where the variance is tiny.
        offset_NhwK = (depth_Nhw.float()[..., None] - high_CK[classes_Nhw]) - low_CK[classes_Nhw]
        return (place_NhwK - (offset_NhwK * narrow_CK[classes_Nhw]).square()).exp().sum(-1)

    def source(self, logits_NChw: Tensor, label_NHW: Tensor, depth_NHW: Tensor) -> tuple[Tensor, Tensor]:
        """Give the map D_s of the source, 0 to 255, and where it counts: float32 and bool [N, h, w].

        It is that of the class predicted at a place, at the true depth where that class is the true one, else at
        depth 0: near 0 where the prediction is wrong. label is uint8 and depth inverse depth [N, H, W], 0 where it
        is not known; a place counts unless the right class is predicted and its depth is not known.
        """
        predicted_Nhw = logits_NChw.detach().argmax(1)
        grid = logits_NChw.shape[-2:]
        depth_Nhw = nearest(depth_NHW, grid)
        right_Nhw = nearest(label_NHW, grid) == predicted_Nhw
        map_Nhw = squashed(self.density(predicted_Nhw, torch.where(right_Nhw, depth_Nhw, 0)))
        return map_Nhw, ~right_Nhw | (depth_Nhw > 0)

    def target(self, logits_NChw: Tensor, depth_Nhw: Tensor) -> Tensor:
        """Give the map D_t of the target, 0 to 255, float32 [N, h, w]: of the predicted class at the predicted depth.

        A predicted inverse depth of 0 or less has the density 0.
        """
        depth_Nhw = depth_Nhw.detach()
        map_Nhw = squashed(self.density(logits_NChw.detach().argmax(1), depth_Nhw))
        return torch.where(depth_Nhw > 0, map_Nhw, 0)

    def _tabulated(self, height: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
        """Take the logarithms of what depends on the column and on the row alone, in float64, and the rest apart."""
        weights, means, variances = self._mixtures.weights, self._mixtures.means, self._mixtures.variances
        rows, columns = self._mixtures.grid
        x, y = (middles(side, of) for side, of in ((width, columns), (height, rows)))
        with np.errstate(divide="ignore"):  # a component that is not there: minus infinity, density 0
            scale_CK = np.log(weights) - 0.5 * np.log((2 * np.pi) ** 3 * variances.prod(axis=2))
        column_wCK = -((x[:, None, None] - means[..., 0]) ** 2) / (2 * variances[..., 0])
        row_hCK = scale_CK - (y[:, None, None] - means[..., 1]) ** 2 / (2 * variances[..., 1])
        high_CK = means[..., 2].astype(np.float32)
        low_CK, narrow_CK = means[..., 2] - high_CK, np.sqrt(0.5 / variances[..., 2])
        tables = (column_wCK, row_hCK, high_CK, low_CK, narrow_CK)
        return tuple(torch.from_numpy(table.astype(np.float32)).to(device) for table in tables)


def squashed(density: Tensor) -> Tensor:
    """Squash a density to 0..255, as `udaseg.statistics.depth_density.density_map` does: same shape."""
    return -255 * torch.expm1(-SCALE * density)


def middles(side: int, of: int) -> np.ndarray:
    """Place the middles of `side` equal cells on an axis of `of` cells whose middles are 0, 1, ...: float64 [side]."""
    return (np.arange(side) + 0.5) * of / side - 0.5


def nearest(image_NHW: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Resample labels or depth to an (h, w) grid, nearest pixel (of the centres), as `density.to_grid` does."""
    rows, columns = (
        (2 * torch.arange(kept, device=image_NHW.device) + 1) * side // (2 * kept)
        for side, kept in zip(image_NHW.shape[-2:], grid, strict=True)
    )
    return image_NHW[:, rows[:, None], columns]
