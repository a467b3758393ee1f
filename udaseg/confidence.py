"""From logits at the network's stride to labels and confidences at the size of the labels, without a full-size buffer.

The class probabilities of a picture take 159 MB at 1024x2048 and 19 classes, and nobody needs them: the kernels
here upsample the logits bilinearly, as torch.nn.functional.interpolate does, a few hundred pixels at a time,
and keep of each pixel the winning class and its softmax probability. They hold no global state and release the
GIL, so a stage may run one in each of its threads.

Only additions and multiplications in a fixed order are used (no fused multiply-add, no reassociation), so the
label and the confidence of a pixel are the same bits on every machine and in every kernel of this file. The
self-training threshold is the confidence of a pixel, so the comparison with it has to be exact.
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
_LOG2E = np.float32(1.44269504)
_LOWEST = np.float32(-87)  # below it e^t is no normal float32 and changes no sum that starts at 1
_ROUNDING = np.float32(12582912)  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
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
    """Return 2^power for -126 <= power <= 0 to 2e-7; written out so that loops over it become vector code."""
    rounded = power + _ROUNDING
    f = power - (rounded - _ROUNDING)
    mantissa = _fma(f, _fma(f, _fma(f, _fma(f, _fma(f, _P5, _P4), _P3), _P2), _P1), _ONE)
    return _float_of(bits_of(mantissa) + (bits_of(rounded) << np.int32(23)))


@njit(inline="always")
def exp(t):
    """Return e^t for t <= 0 to 2e-7."""
    return exp2(max(t, _LOWEST) * _LOG2E)


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
    """Keep the logits of one source row, stretched to the full width, in the slot of its parity."""
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
            value = upper[x] * upper_weight + lower[x] * lower_weight
            logit[x] = value
            # Strictly greater: of equal logits the lowest class wins, as in torch.argmax.
            winner[x] = c if value > best[x] else winner[x]
            best[x] = value if value > best[x] else best[x]


@njit(inline="always")
def _rebias(block, bias, n, own, score, winner):
    """Let the class of the highest logit + bias win instead; own is the logit of the winner."""
    score[:] = -np.inf
    for c in range(block.shape[0]):
        logit = block[c]
        for x in range(n):
            value, biased = logit[x], logit[x] + bias[c]
            before, held, first = score[x], own[x], winner[x]
            wins = biased > before
            winner[x] = c if wins else first
            own[x] = value if wins else held
            score[x] = biased if wins else before


@njit(inline="always")
def _normalise(block, best, n, own):
    """Turn own, the logit of the winner, into its softmax probability."""
    total = np.zeros(BLOCK, np.float32)
    for c in range(block.shape[0]):
        logit = block[c]
        for x in range(n):
            total[x] += exp(logit[x] - best[x])
    for x in range(n):
        own[x] = exp(own[x] - best[x]) / total[x]


@njit(cache=True, nogil=True, error_model="numpy")  # a division that may raise is no vector code
def _decide(logits_CHW, rows, columns, bias, thresholds, label, confidence):
    """Write argmax(logit + bias) and its softmax probability; IGNORE where that is below the class's threshold.

    An empty confidence is not written, and no softmax taken where there are no thresholds either (all zero).
    """
    classes = logits_CHW.shape[0]
    height, width = label.shape
    biased, selects, confides = np.any(bias != _ZERO), np.any(thresholds > _ZERO), confidence.size > 0
    rows_2CW = np.empty((2, classes, width), np.float32)
    held = np.full(2, -1)
    block = np.empty((classes, BLOCK), np.float32)
    best, own, score = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    winner = np.empty(BLOCK, np.uint32)
    for y in range(height):
        hold(logits_CHW, rows[0][y], columns, held, rows_2CW)
        hold(logits_CHW, rows[1][y], columns, held, rows_2CW)
        upper_CW, lower_CW = rows_2CW[rows[0][y] % 2], rows_2CW[rows[1][y] % 2]
        for start in range(0, width, BLOCK):
            n = min(BLOCK, width - start)
            blend(upper_CW, lower_CW, rows[2][y], rows[3][y], start, n, block, best, winner)
            own[:n] = best[:n]
            if biased:
                _rebias(block, bias, n, own, score, winner)
            if selects or confides:
                _normalise(block, best, n, own)
            label_row = label[y, start : start + n]
            for x in range(n):
                label_row[x] = winner[x]
            if selects:
                for x in range(n):
                    if own[x] < thresholds[winner[x]]:
                        label_row[x] = IGNORE
            if confides:
                confidence[y, start : start + n] = own[:n]


@njit(cache=True, nogil=True, error_model="numpy")
def _softmax(logits_CHW, rows, columns, probabilities_CHW):
    classes, height, width = probabilities_CHW.shape
    rows_2CW = np.empty((2, classes, width), np.float32)
    held = np.full(2, -1)
    highest, total = np.empty((2, width), np.float32)
    for y in range(height):
        hold(logits_CHW, rows[0][y], columns, held, rows_2CW)
        hold(logits_CHW, rows[1][y], columns, held, rows_2CW)
        upper_CW, lower_CW = rows_2CW[rows[0][y] % 2], rows_2CW[rows[1][y] % 2]
        upper_weight, lower_weight = rows[2][y], rows[3][y]
        highest[:] = -np.inf
        total[:] = _ZERO
        for c in range(classes):
            for x in range(width):
                value = upper_CW[c, x] * upper_weight + lower_CW[c, x] * lower_weight
                probabilities_CHW[c, y, x] = value
                highest[x] = max(value, highest[x])
        for c in range(classes):
            for x in range(width):
                value = exp(probabilities_CHW[c, y, x] - highest[x])
                probabilities_CHW[c, y, x] = value
                total[x] += value
        for c in range(classes):
            for x in range(width):
                probabilities_CHW[c, y, x] /= total[x]


def prepared(logits_CHW, height, width, align_corners):
    """Check the logits; return them as float32 with the taps of the rows and of the columns."""
    logits_CHW = np.asarray(logits_CHW)
    if logits_CHW.ndim != 3 or logits_CHW.dtype not in (np.float16, np.float32) or 0 in logits_CHW.shape:
        raise UdasegError(
            f"logits are {logits_CHW.dtype} {list(logits_CHW.shape)}, expected float16 or float32 [C, h, w]",
            "pass the logits of one picture, classes first",
        )
    if len(logits_CHW) >= IGNORE:
        raise UdasegError(f"logits have {len(logits_CHW)} classes; labels are uint8 and hold at most {IGNORE - 1}")
    if height < 1 or width < 1:
        raise UdasegError(f"the size asked for is {height}x{width}; height and width are at least 1")
    logits_CHW = np.ascontiguousarray(logits_CHW, np.float32)
    if not np.isfinite(logits_CHW).all():
        raise UdasegError("logits hold NaN or infinite values", "the network has diverged: train it again")
    _, h, w = logits_CHW.shape
    return logits_CHW, taps(h, height, align_corners), taps(w, width, align_corners)


def label_and_confidence(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of every pixel and the softmax probability of that label, at the size of the labels.

    logits_CHW is float16 or float32 [C, h, w], C at most 254; (height, width) is the size asked for. The logits are
    upsampled bilinearly before the softmax. Returns uint8 [H, W] (of equal logits the lowest class) and float32
    [H, W], within 1e-6 of the exact softmax. Raises UdasegError for other ranks and dtypes and for logits that are
    not finite.
    """
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    none = np.zeros(len(logits_CHW), np.float32)
    _decide(logits_CHW, rows, columns, none, none, label, confidence)
    return label, confidence


def argmax_label(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return only the label of label_and_confidence, uint8 [H, W], in a third of its time: evaluation needs no more."""
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label = np.empty((height, width), np.uint8)
    none = np.zeros(len(logits_CHW), np.float32)
    _decide(logits_CHW, rows, columns, none, none, label, np.empty((0, 0), np.float32))
    return label


def thresholded_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, bias: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return argmax(logit + bias) where its softmax probability reaches the class's threshold, and 255 elsewhere.

    As label_and_confidence; bias and thresholds are float32 [C]. The bias moves the decision, not the probability.
    With a bias of zero a pixel is kept exactly where label_and_confidence's confidence is >= thresholds[label].
    """
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label = np.empty((height, width), np.uint8)
    _decide(logits_CHW, rows, columns, bias, thresholds, label, np.empty((0, 0), np.float32))
    return label


def probabilities(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return the softmax of the upsampled logits, float32 [C, H, W]: 4 * C bytes a pixel, for the rare uses."""
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    probabilities_CHW = np.empty((len(logits_CHW), height, width), np.float32)
    _softmax(logits_CHW, rows, columns, probabilities_CHW)
    return probabilities_CHW
