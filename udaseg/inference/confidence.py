"""From logits at the network's stride to labels and confidences at the size of the labels, without a full-size buffer.

The class probabilities of an image take 159 MB at 1024x2048 and 19 classes, and nobody needs them: the kernels
here upsample the logits bilinearly, as torch.nn.functional.interpolate does, a few rows at a time, and keep of each
pixel the winning class and its softmax probability. Few pixels are looked at by themselves for that: `cells`
tells what holds between four neighbouring logits.
The kernels hold no global state and release the GIL, so a stage may run one in each of its threads.

All is done in a fixed order, and the compiler may neither reorder nor fuse it, so the label and the confidence of a
pixel are the same bits on every machine, whether the confidence is asked for or compared with a threshold. The
self-training threshold is the confidence of a pixel, so the comparison with it has to be exact.
"""

import numpy as np
from numba import njit

from udaseg.inference.cells import ROUNDED, bands_and_cells, divide, judge, weigh
from udaseg.inference.upsampling import BLOCK, blend, exp, hold, prepared
from udaseg.labels import IGNORE

_ZERO, _ONE = np.float32(0), np.float32(1)
_NO_CONFIDENCE = np.empty((0, 0), np.float32)


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
def _look(upper_CW, lower_CW, rows, first, columns, bias, thresholds, label, confidence):
    """Decide the pixels in the columns given, one by one; label and confidence are of the band that begins with first.

    An empty confidence is not written.
    """
    biased, selects, confides = np.any(bias != _ZERO), np.any(thresholds > _ZERO), confidence.size > 0
    block = np.empty((len(bias), BLOCK), np.float32)
    best, own, score = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    winner = np.empty(BLOCK, np.uint32)
    for k in range(label.shape[0]):
        for start in range(0, len(columns), BLOCK):
            at = columns[start : start + BLOCK]
            n = len(at)
            blend(upper_CW, lower_CW, rows[2][first + k], rows[3][first + k], start, n, block, best, winner)
            own[:n] = best[:n]
            if biased:
                _rebias(block, bias, n, own, score, winner)
            if selects or confides:
                _normalise(block, best, n, own)
            if selects:
                for x in range(n):
                    if own[x] < thresholds[winner[x]]:
                        winner[x] = IGNORE
            for x in range(n):
                label[k, at[x]] = winner[x]
            if confides:
                for x in range(n):
                    confidence[k, at[x]] = own[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _decide(logits_CHW, rows, columns, bands, cells, bias, thresholds, label, confidence):
    """Write argmax(logit + bias) and its softmax probability; IGNORE where that is below the class's threshold.

    An empty confidence is not written; thresholds of 0 are none. At most one of the two is asked for. bands and
    cells are those of `bands_and_cells`; without cells all pixels are looked at one by one.
    """
    classes, width, n = logits_CHW.shape[0], label.shape[1], len(cells.firsts) - 1
    low, high, low_weight, high_weight = columns
    ends = np.append(cells.firsts[:-1], cells.firsts[1:] - 1)
    corners = low[ends], high[ends], low_weight[ends], high_weight[ends]
    corners_2CM, corners_held = np.empty((2, classes, 2 * n), np.float32), np.full(2, -1)
    weights, slack = np.empty((2, 2), np.float32), ROUNDED * max(_ONE, np.abs(logits_CHW).max())
    rows_2CW, held = np.empty((2, classes, width), np.float32), np.full(2, -1)
    led, looked, looks = np.empty(n, np.int64), np.arange(width), width
    for band in range(len(bands) - 1):
        first, last = bands[band], bands[band + 1]
        above, below = rows[0][first], rows[1][first]
        label_hW, confidence_hW = label[first:last], confidence[first:last]
        if n:
            for end, row in enumerate((first, last - 1)):
                weights[end, 0], weights[end, 1] = rows[2][row], rows[3][row]
            hold(logits_CHW, above, corners, corners_held, corners_2CM)
            hold(logits_CHW, below, corners, corners_held, corners_2CM)
            judge(cells, corners_2CM[above % 2], corners_2CM[below % 2], weights, bias, thresholds, slack)
            leds, looks = divide(cells, confidence.size > 0, label_hW[0], led, looked)
            for k in range(1, last - first):
                label_hW[k] = label_hW[0]
            if leds:
                weigh(cells, led[:leds], thresholds, label_hW, confidence_hW)
        if looks:
            at, taken = looked[:looks], columns
            if n:
                taken, held[:] = (low[at], high[at], low_weight[at], high_weight[at]), -1
            hold(logits_CHW, above, taken, held, rows_2CW)
            hold(logits_CHW, below, taken, held, rows_2CW)
            upper_CW, lower_CW = rows_2CW[above % 2], rows_2CW[below % 2]
            _look(upper_CW, lower_CW, rows, first, at, bias, thresholds, label_hW, confidence_hW)


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


def _decided(logits_CHW, height, width, align_corners, bias=None, thresholds=None, confidence=_NO_CONFIDENCE):
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label, none = np.empty((height, width), np.uint8), np.zeros(len(logits_CHW), np.float32)
    bias, thresholds = none if bias is None else bias, none if thresholds is None else thresholds
    bands, cells = bands_and_cells(rows, columns, len(logits_CHW))
    _decide(logits_CHW, rows, columns, bands, cells, bias, thresholds, label, confidence)
    return label


def label_and_confidence(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of every pixel and the softmax probability of that label, at the size of the labels.

    logits_CHW is float16 or float32 [C, h, w], C at most 254; (height, width) is the size asked for. The logits are
    upsampled bilinearly before the softmax. Returns uint8 [H, W] (of equal logits the lowest class) and float32
    [H, W], within 1e-6 of the exact softmax where a logit stands for a power of 2 of pixels; elsewhere their places
    are rounded, as torch rounds them, and may change it by 1e-4. Raises UdasegError for other ranks and dtypes and for
    logits that are not finite.
    """
    confidence = np.empty((max(0, height), max(0, width)), np.float32)
    return _decided(logits_CHW, height, width, align_corners, confidence=confidence), confidence


def argmax_label(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return only the label of label_and_confidence, uint8 [H, W], in half of its time: enough to evaluate."""
    return _decided(logits_CHW, height, width, align_corners)


def thresholded_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, bias: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return argmax(logit + bias) where its softmax probability reaches the class's threshold, and 255 elsewhere.

    As label_and_confidence; bias and thresholds are float32 [C]. The bias moves the decision, not the probability.
    With a bias of zero a pixel is kept exactly where label_and_confidence's confidence is >= thresholds[label]. This
    takes two thirds of the time of that.
    """
    return _decided(logits_CHW, height, width, align_corners, bias, thresholds)


def probabilities(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return the softmax of the upsampled logits, float32 [C, H, W]: 4 * C bytes a pixel, for the rare uses."""
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    probabilities_CHW = np.empty((len(logits_CHW), height, width), np.float32)
    _softmax(logits_CHW, rows, columns, probabilities_CHW)
    return probabilities_CHW
