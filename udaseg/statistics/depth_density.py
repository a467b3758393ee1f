"""The density of the Gaussian mixture of every class, on the grid of the network."""

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.inference.exponentials import exp, exp2
from udaseg.statistics.gmm import Gmm

SCALE = 1e6  # of the density map; the density is per pixel of the grid squared and unit of inverse depth


def density(gmm: Gmm, inverse_depth_HW: np.ndarray) -> np.ndarray:
    """Return the density of every class at every position of the grid: float32 [C, h, w].

    p_c(x) = sum_j weight_j prod_k N(x_k; mean_jk, variance_jk) is a joint density per square of the grid and unit of
    inverse depth. `inverse_depth_HW` is float32 [h, w] on the grid of the mixtures. Columns and rows are tabulated, so
    a position takes one exponential a component. Raises UdasegError where the grids differ.
    """
    if inverse_depth_HW.shape != gmm.grid:
        raise UdasegError(
            f"depth is {inverse_depth_HW.shape[0]}x{inverse_depth_HW.shape[1]}, the mixtures were fitted on a grid of "
            f"{gmm.grid[0]}x{gmm.grid[1]}",
            "fit the mixtures on the grid of this network (gmm.grid), or resize the input to match",
        )
    out_CHW = np.empty((len(gmm.classes), *gmm.grid), np.float32)
    depth_HW = np.ascontiguousarray(inverse_depth_HW, np.float32)
    _density(depth_HW, gmm.weights, gmm.means, gmm.variances, out_CHW)
    return out_CHW


def density_map(density: np.ndarray) -> np.ndarray:
    """Map a density p to 0..255, the target of the density head: 255 (1 - exp(-1e6 p)), same shape."""
    return -255 * np.expm1(-SCALE * density)


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
            # The mean in two parts: with a tiny variance, its rounding would change the density.
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
