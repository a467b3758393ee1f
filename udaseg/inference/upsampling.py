"""Bilinear upsampling of logits row by row, and the exponentials of a softmax: what kernels over pixels are made of.

The positions and weights are those of torch.nn.functional.interpolate. All is done in a fixed order, with the fused
multiply-adds that are written down and no other, so that a logit is the same bits in every kernel.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE

# Columns handled at a time: 19 classes of 512 float32 fit the first-level cache.
BLOCK = 512
_ZERO, _ONE = np.float32(0), np.float32(1)
LOG2E = np.float32(1.44269504)
MAX_EXPONENT = np.float32(60)  # above it e^t is out of the question for a probability
_LOWEST = np.float32(-87)  # below it e^t is no normal float32 and changes no sum that starts at 1
_ROUNDING = np.float32(12582912)  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
# The bits of a float16, and 2 to the power of what its exponent is biased less than that of a float32.
_NO_BITS, _MAGNITUDE, _SIGN, _INFINITE = (np.int32(bits) for bits in (0, 0x7FFF, 0x8000, 0x7C00))
_BIASES = np.float32(2.0**112)
# 2^f = 1 + f * (...), minimax on [-0.5, 0.5], relative error 9e-8; exactly 1 at f = 0.
_P1, _P2, _P3, _P4, _P5 = (np.float32(c) for c in (0.69314698, 0.24022242, 0.05550734, 0.00967151, 0.00132647))


@intrinsic
def bits_of(context, value):
    """Return the bits of a float32 as an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def _float_of(context, value):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _fma(context, a, b, c):
    """Return a * b + c, rounded once."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@njit(inline="always")
def exp2(power):
    """Return 2^power for -126 <= power <= 126 to 2e-7; written out so that loops over it become vector code."""
    rounded = power + _ROUNDING
    f = power - (rounded - _ROUNDING)
    mantissa = _fma(f, _fma(f, _fma(f, _fma(f, _fma(f, _P5, _P4), _P3), _P2), _P1), _ONE)
    return _float_of(bits_of(mantissa) + (bits_of(rounded) << np.int32(23)))


@njit(inline="always")
def exp(t):
    """Return e^t for t <= 87, and that of -87 for less; to 2e-7 near 0, to 4e-6 far from it."""
    return exp2(max(t, _LOWEST) * LOG2E)


def taps(size, target, align_corners):
    """Return (low index, high index, low weight, high weight) of every target position, in torch's arithmetic."""
    position = np.arange(target, dtype=np.float32)
    if align_corners:
        scale = np.float32(size - 1) / np.float32(target - 1) if target > 1 else _ZERO
        source = scale * position
    else:
        source = np.float32(size) / np.float32(target) * (position + np.float32(0.5)) - np.float32(0.5)
    source = np.maximum(source, _ZERO)
    low = np.minimum(source.astype(np.int64), size - 1)
    weight = np.clip(source - low.astype(np.float32), _ZERO, _ONE)
    return low, np.minimum(low + 1, size - 1), _ONE - weight, weight


@njit(inline="always")
def hold(logits_CHW, row, columns, held, rows_2CW):
    """Keep the logits of one source row, stretched to the columns asked for, in the slot of its parity."""
    slot = row % 2
    if held[slot] == row:
        return
    held[slot] = row
    low, high, low_weight, high_weight = columns
    for c in range(logits_CHW.shape[0]):
        source, stretched = logits_CHW[c, row], rows_2CW[slot, c]
        for x in range(low.shape[0]):
            stretched[x] = source[low[x]] * low_weight[x] + source[high[x]] * high_weight[x]


@njit(inline="always")
def blend(upper_CW, lower_CW, upper_weight, lower_weight, start, n, block, best, winner):
    """Write the logits of n pixels of a row to block, their highest to best and its class to winner."""
    best[:] = -np.inf
    winner[:] = 0
    for c in range(block.shape[0]):
        upper, lower, logit = upper_CW[c, start : start + n], lower_CW[c, start : start + n], block[c]
        for x in range(n):
            value, before, first = upper[x] * upper_weight + lower[x] * lower_weight, best[x], winner[x]
            logit[x] = value
            # Strictly greater: of equal logits the lowest class wins, as in torch.argmax.
            wins = value > before
            winner[x] = c if wins else first
            best[x] = value if wins else before


@njit(cache=True, nogil=True)
def _widen(halves, wide):
    """Write float16, given as its bits, as float32; return whether all are finite. NumPy takes 16 times as long."""
    largest = _NO_BITS
    for i in range(halves.size):
        bits = np.int32(halves[i])
        magnitude = bits & _MAGNITUDE
        largest = max(largest, magnitude)
        # The bits of a half, moved, are the float32 that is smaller by the difference of the exponents' biases.
        value = _float_of(magnitude << np.int32(13)) * _BIASES
        wide[i] = _float_of(bits_of(value) | ((bits & _SIGN) << np.int32(16)))
    return largest < _INFINITE


def prepared(logits_CHW, height, width, align_corners):
    """Check the logits; return them as float32 with the taps of the rows and of the columns."""
    logits_CHW = np.asarray(logits_CHW)
    if logits_CHW.ndim != 3 or logits_CHW.dtype not in (np.float16, np.float32) or 0 in logits_CHW.shape:
        raise UdasegError(
            f"logits are {logits_CHW.dtype} {list(logits_CHW.shape)}, expected float16 or float32 [C, h, w]",
            "pass the logits of one image, classes first",
        )
    if len(logits_CHW) >= IGNORE:
        raise UdasegError(f"logits have {len(logits_CHW)} classes; labels are uint8 and hold at most {IGNORE - 1}")
    if height < 1 or width < 1:
        raise UdasegError(f"the size asked for is {height}x{width}; height and width are at least 1")
    logits_CHW = np.ascontiguousarray(logits_CHW)
    if logits_CHW.dtype == np.float16:
        halves_CHW, logits_CHW = logits_CHW, np.empty(logits_CHW.shape, np.float32)
        finite = _widen(halves_CHW.view(np.uint16).reshape(-1), logits_CHW.reshape(-1))
    else:
        finite = np.isfinite(logits_CHW).all()
    if not finite:
        raise UdasegError("logits hold NaN or infinite values", "the network has diverged: train it again")
    _, h, w = logits_CHW.shape
    return logits_CHW, taps(h, height, align_corners), taps(w, width, align_corners)
