"""Bilinear upsampling of logits row by row: the parts that kernels over the pixels of an image share.

Positions and weights are those of torch.nn.functional.interpolate. Every operation is written out, in a fixed order,
so a logit is the same bits in every kernel.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE

# Columns that a kernel handles at a time: 19 classes of 512 float32 fit the first-level cache.
BLOCK = 512


class Taps(NamedTuple):
    """The two source positions of every target position along one axis, and their weights, which sum to 1."""

    low: np.ndarray  # int64
    high: np.ndarray  # int64
    low_weight: np.ndarray  # float32
    high_weight: np.ndarray  # float32


def taps(size: int, target: int, align_corners: bool) -> Taps:
    """Return the taps that resize `size` positions to `target` positions, in the arithmetic of PyTorch."""
    position = np.arange(target, dtype=np.float32)
    if align_corners:
        scale = np.float32(size - 1) / np.float32(target - 1) if target > 1 else np.float32(0)
        source = scale * position
    else:
        source = np.float32(size) / np.float32(target) * (position + np.float32(0.5)) - np.float32(0.5)
    source = np.maximum(source, np.float32(0))
    low = np.minimum(source.astype(np.int64), size - 1)
    weight = np.clip(source - low.astype(np.float32), np.float32(0), np.float32(1))
    return Taps(low, np.minimum(low + 1, size - 1), np.float32(1) - weight, weight)


@njit(inline="always")
def stretch_row(values_CHW, row, columns, cached_rows, rows_2CW):
    """Write row `row` of values_CHW, resized to the target columns, to rows_2CW[row % 2].

    `cached_rows` int64 [2] says which rows rows_2CW already holds, -1 for none: neighbouring target rows share them.
    """
    slot = row % 2
    if cached_rows[slot] == row:
        return
    cached_rows[slot] = row
    for c in range(values_CHW.shape[0]):
        source, stretched = values_CHW[c, row], rows_2CW[slot, c]
        for x in range(len(columns.low)):
            low, high = source[columns.low[x]], source[columns.high[x]]
            stretched[x] = low * columns.low_weight[x] + high * columns.high_weight[x]


@njit(inline="always")
def interpolate(rows_2CW, rows, y, start, n, block_CX):
    """Write the values of n pixels of target row y, from column `start` on, to block_CX[:, :n].

    rows_2CW holds the two source rows of y, as `stretch_row` leaves them; `rows` are the taps of the rows.
    """
    upper_weight, lower_weight = rows.low_weight[y], rows.high_weight[y]
    for c in range(block_CX.shape[0]):
        upper = rows_2CW[rows.low[y] % 2, c, start : start + n]
        lower = rows_2CW[rows.high[y] % 2, c, start : start + n]
        values = block_CX[c]
        for x in range(n):
            values[x] = upper[x] * upper_weight + lower[x] * lower_weight


def prepare(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> tuple[np.ndarray, Taps, Taps]:
    """Check the logits of one image; return them as float32 with the taps of the rows and of the columns.

    logits_CHW is float16 or float32 [C, h, w]; (height, width) is the size to resize to. Raises UdasegError for
    other dtypes and ranks, more than 254 classes, an empty size, and values that are not finite.
    """
    logits_CHW = np.asarray(logits_CHW)
    if logits_CHW.ndim != 3 or logits_CHW.dtype not in (np.float16, np.float32) or 0 in logits_CHW.shape:
        raise UdasegError(
            f"logits are {logits_CHW.dtype} {list(logits_CHW.shape)}, expected float16 or float32 [C, h, w]",
            "pass the logits of one image, classes first",
        )
    if len(logits_CHW) >= IGNORE:
        raise UdasegError(
            f"logits have {len(logits_CHW)} classes; labels are uint8 and hold at most {IGNORE - 1}",
            "train with fewer classes in `space`",
        )
    if height < 1 or width < 1:
        raise UdasegError(f"the size to resize to is {height}x{width}", "give a height and a width of at least 1 pixel")
    logits_CHW = np.ascontiguousarray(logits_CHW, np.float32)
    if not np.isfinite(logits_CHW).all():
        raise UdasegError("logits hold NaN or infinite values", "the network has diverged: train it again")
    _, h, w = logits_CHW.shape
    return logits_CHW, taps(h, height, align_corners), taps(w, width, align_corners)
