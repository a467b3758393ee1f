"""The stride-8 grid, and the density of a mixture for every class.

The mixtures live on the grid of the network: a pixel is (column, row, inverse depth), columns and rows counted
from 0 on the grid, inverse depth being 65536 / (cm + 1). See `udaseg.depth.mixtures` for the fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.inference.exponentials import exp, exp2
from udaseg.io import hdf5

_AGAIN = "write it again with `udaseg gmm --force`"
SCALE = 1e6  # of the density map; the density is per pixel of the grid squared and unit of inverse depth


@dataclass(frozen=True, eq=False)
class Gmm:
    """Hold one Gaussian mixture with diagonal covariance for each class, over (column, row, inverse depth).

    `weights` float64 [C, K], `means` and `variances` float64 [C, K, 3]; `grid` is (height, width). A component
    that is not there has weight 0, mean 0 and variance 1; a class that is not there has none, and density 0.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    classes: tuple[str, ...]
    grid: tuple[int, int]


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Give the size (height, width) of the network's grid: a strided stem, a pooling in ceil mode, a stride.

    An image of 760x1280 has a grid of 96x161, one of 320x640 a grid of 41x81.
    """
    stem = (height - 1) // 2 + 1, (width - 1) // 2 + 1
    rows, columns = (side // 2 // 2 + 1 for side in stem)
    return rows, columns


def to_grid(image_HW: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Resample labels or depth to the grid, nearest pixel (of the centres): same dtype, [h, w]."""
    rows, columns = (
        ((2 * np.arange(kept) + 1) * side // (2 * kept)) for side, kept in zip(image_HW.shape, grid, strict=True)
    )
    return image_HW[rows[:, None], columns]


def density(mixtures: Gmm, inverse_depth_HW: np.ndarray) -> np.ndarray:
    """Evaluate the mixture of every class at every place of the grid: float32 [C, h, w].

    p_c(x) = sum_j weight_j prod_k N(x_k; mean_jk, variance_jk), a joint density per square of the grid and unit
    of inverse depth; `inverse_depth_HW` is float32 [h, w] on the grid of the mixtures. Columns and rows are
    tables, so one exponential a component and place is left. Raises UdasegError where the grids differ.
    """
    if inverse_depth_HW.shape != mixtures.grid:
        raise UdasegError(
            f"depth is {inverse_depth_HW.shape[0]}x{inverse_depth_HW.shape[1]}, the mixtures were fitted on a grid of "
            f"{mixtures.grid[0]}x{mixtures.grid[1]}",
            "fit the mixtures on the grid of this network (gmm.grid), or resize the input to match",
        )
    out_CHW = np.empty((len(mixtures.classes), *mixtures.grid), np.float32)
    depth_HW = np.ascontiguousarray(inverse_depth_HW, np.float32)
    _density(depth_HW, mixtures.weights, mixtures.means, mixtures.variances, out_CHW)
    return out_CHW


def density_map(density: np.ndarray) -> np.ndarray:
    """Squash a density to 0..255, the target of the density branch: 255 (1 - exp(-1e6 p)), same shape."""
    return -255 * np.expm1(-SCALE * density)


def write(path: Path, mixtures: Gmm) -> None:
    """Write gmm.h5 in one piece: `weights`, `means`, `variances`, attributes `classes` and `grid`; the same bytes
    for the same mixtures."""
    with hdf5.written(path) as file:
        hdf5.put_text(file.attrs, "classes", mixtures.classes)
        file.attrs["grid"] = mixtures.grid
        for name in ("weights", "means", "variances"):
            hdf5.store(file, name, getattr(mixtures, name).astype(np.float64))


def read(path: Path) -> Gmm:
    """Read gmm.h5. Raises UdasegError for a missing file, another format, or values that are no mixture."""
    with hdf5.reading(path, "mixtures", _AGAIN), hdf5.opened(path) as file:
        weights, means, variances = (
            hdf5.array(file, name).astype(np.float64) for name in ("weights", "means", "variances")
        )
        classes = hdf5.names(file.attrs, "classes")
        rows, columns = (int(side) for side in file.attrs["grid"])
    expected = (len(classes), *weights.shape[1:2], 3)
    if weights.ndim != 2 or means.shape != expected or variances.shape != expected:
        shapes = f"weights {weights.shape}, means {means.shape}, variances {variances.shape}"
        raise UdasegError(f"{path}: {shapes} do not fit {len(classes)} classes, expected [C, K] and [C, K, 3]", _AGAIN)
    sums = weights.sum(axis=1)
    finite = all(np.isfinite(values).all() for values in (weights, means, variances))
    if not finite or (weights < 0).any() or (variances <= 0).any() or not np.all((sums == 0) | np.isclose(sums, 1)):
        raise UdasegError(
            f"{path}: weights must be positive and sum to 1 (0 for an absent class), variances be positive, "
            "and all be finite",
            _AGAIN,
        )
    return Gmm(weights, means, variances, classes, (rows, columns))


def read_gmm_of(path: Path, classes: Sequence[str]) -> Gmm:
    """Read gmm.h5; raises UdasegError where it is of other classes than expected, or in another order."""
    gmm = read(path)
    if gmm.classes != tuple(classes):
        raise UdasegError(
            f"{path} holds mixtures of {', '.join(gmm.classes)}; expected {', '.join(classes)}",
            "udaseg gmm fits them to the classes of the recipe",
        )
    return gmm


@njit(inline="always")
def _bells(mean, variance, scale, bells):
    """Write scale * exp(-(x - mean)^2 / (2 variance)) for x = 0, 1, ..."""
    steepness = -0.5 / variance
    for x in range(bells.size):
        power = max(steepness * (x - mean) ** 2, -87.0)
        rounded = np.float32(power)
        bells[x] = scale * exp(rounded) * (np.float32(1) + np.float32(power - rounded))


@njit(cache=True, nogil=True, fastmath={"contract"})  # fused multiply-add: a rounding less
def _density(depth_HW, weights, means, variances, out_CHW):
    height, width = depth_HW.shape
    rows, column = np.empty(height, np.float32), np.empty(width, np.float32)
    for c in range(weights.shape[0]):
        out_CHW[c] = 0
        for j in range(weights.shape[1]):
            mean, variance = means[c, j], variances[c, j]
            scale = weights[c, j] / ((2 * np.pi) ** 1.5 * np.sqrt(variance[0] * variance[1] * variance[2]))
            _bells(mean[0], variance[0], np.float32(1), column)
            _bells(mean[1], variance[1], np.float32(scale), rows)
            # The mean in two parts: its rounding would show where the variance is tiny.
            high = np.float32(mean[2])
            narrow = np.float32(np.sqrt(0.5 * np.log2(np.e) / variance[2]))
            low = np.float32((mean[2] - high) * narrow)
            for y in range(height):
                row = rows[y]
                if row < 1e-37:
                    continue
                depth, out = depth_HW[y], out_CHW[c, y]
                for x in range(width):
                    z = (depth[x] - high) * narrow - low
                    out[x] += row * column[x] * exp2(max(-z * z, np.float32(-126)))
