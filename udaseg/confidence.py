"""From logits at the network's stride to labels and confidences at the size of the labels, without a full-size buffer.

The class probabilities of a picture take 159 MB at 1024x2048 and 19 classes, and nobody needs them: the kernels
here upsample the logits bilinearly, as torch.nn.functional.interpolate does, a few rows at a time, and keep of each
pixel the winning class and its softmax probability. Few pixels are looked at by themselves for that: udaseg.cells
tells what holds between four neighbouring logits.
The kernels hold no global state and release the GIL, so a stage may run one in each of its threads.

Only additions and multiplications in a fixed order are used (no fused multiply-add, no reassociation), so the
label and the confidence of a pixel are the same bits on every machine and in every function of this file. The
self-training threshold is the confidence of a pixel, so the comparison with it has to be exact.
"""

import numpy as np
from numba import njit

from udaseg.cells import ROUNDED, bands_and_cells, judge, sort
from udaseg.pixels import contend, drop, look, reference_probability
from udaseg.upsampling import exp, hold, prepared

_ZERO, _ONE = np.float32(0), np.float32(1)
_NO_CONFIDENCE = np.empty((0, 0), np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _decide(logits_CHW, rows, columns, bands, cells, bias, thresholds, label, confidence):
    """Write argmax(logit + bias) and its softmax probability; IGNORE where that is below the class's threshold.

    An empty confidence is not written, and no softmax taken where there are no thresholds either (all zero). bands and
    cells are those of `bands_and_cells`; without cells all pixels are looked at one by one.
    """
    classes, width, n = logits_CHW.shape[0], label.shape[1], len(cells.firsts) - 1
    selects, confides = np.any(thresholds > _ZERO), confidence.size > 0
    asked = 2 if confides else 1 if selects else 0
    low, high, low_weight, high_weight = columns
    ends = np.append(cells.firsts[:-1], cells.firsts[1:] - 1)
    corners = low[ends], high[ends], low_weight[ends], high_weight[ends]
    corners_2CM, corners_held = np.empty((2, classes, 2 * n), np.float32), np.full(2, -1)
    weights, slack = np.empty((2, 2), np.float32), ROUNDED * max(_ONE, np.abs(logits_CHW).max())
    contested, weighed = np.empty(n, np.int64), np.empty(n, np.int64)
    scratch = np.empty(((bands[1:] - bands[:-1]).max() if asked == 1 else 0, width), np.float32)
    rows_2CW, held = np.empty((2, classes, width), np.float32), np.full(2, -1)
    looked, looks = np.arange(width), width
    for band in range(len(bands) - 1):
        first, last = bands[band], bands[band + 1]
        above, below, label_hW = rows[0][first], rows[1][first], label[first:last]
        if n:
            for end, row in enumerate((first, last - 1)):
                weights[end, 0], weights[end, 1] = rows[2][row], rows[3][row]
            hold(logits_CHW, above, corners, corners_held, corners_2CM)
            hold(logits_CHW, below, corners, corners_held, corners_2CM)
            judge(cells, corners_2CM[above % 2], corners_2CM[below % 2], weights, bias, thresholds, slack)
            contests, weighs, looks = sort(cells, asked, label_hW[0], contested, weighed, looked)
            for k in range(1, last - first):
                label_hW[k] = label_hW[0]
            probability_hW = confidence[first:last] if confides else scratch[: last - first]
            if weighs:
                reference_probability(cells, weighed[:weighs], probability_hW)
            if contests:
                own = contested[:contests]
                contend(cells, own, logits_CHW, rows, columns, first, bias, label_hW, probability_hW)
            if weighs and selects:
                drop(cells, weighed[:weighs], thresholds, probability_hW, label_hW)
        if looks:
            at, taken = looked[:looks], columns
            if n:
                taken, held[:] = (low[at], high[at], low_weight[at], high_weight[at]), -1
            hold(logits_CHW, above, taken, held, rows_2CW)
            hold(logits_CHW, below, taken, held, rows_2CW)
            upper_CW, lower_CW = rows_2CW[above % 2], rows_2CW[below % 2]
            look(upper_CW, lower_CW, rows, first, at, bias, thresholds, label_hW, confidence[first:last])


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
    _decide(logits_CHW, rows, columns, *bands_and_cells(rows, columns, len(logits_CHW)), none, none, label, confidence)
    return label, confidence


def argmax_label(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return only the label of label_and_confidence, uint8 [H, W], in a third of its time: enough to evaluate."""
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label = np.empty((height, width), np.uint8)
    none = np.zeros(len(logits_CHW), np.float32)
    _decide(
        logits_CHW, rows, columns, *bands_and_cells(rows, columns, len(logits_CHW)), none, none, label, _NO_CONFIDENCE
    )
    return label


def thresholded_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, bias: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return argmax(logit + bias) where its softmax probability reaches the class's threshold, and 255 elsewhere.

    As label_and_confidence; bias and thresholds are float32 [C]. The bias moves the decision, not the probability.
    With a bias of zero a pixel is kept exactly where label_and_confidence's confidence is >= thresholds[label]. This
    takes two thirds of the time of that.
    """
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label = np.empty((height, width), np.uint8)
    _decide(
        logits_CHW,
        rows,
        columns,
        *bands_and_cells(rows, columns, len(logits_CHW)),
        bias,
        thresholds,
        label,
        _NO_CONFIDENCE,
    )
    return label


def probabilities(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return the softmax of the upsampled logits, float32 [C, H, W]: 4 * C bytes a pixel, for the rare uses."""
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    probabilities_CHW = np.empty((len(logits_CHW), height, width), np.float32)
    _softmax(logits_CHW, rows, columns, probabilities_CHW)
    return probabilities_CHW
