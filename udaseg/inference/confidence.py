"""Labels and confidences at the size of the image, from logits at the stride of the network.

The probabilities of all classes of an image take 159 MB at 1024x2048 and 19 classes, and no stage needs them. The
kernel here upsamples the logits bilinearly, 512 pixels of a row at a time, and keeps the label and its softmax
probability alone. It holds no global state and releases the GIL, so a stage may run it in several threads.

Every operation is written out, in a fixed order. So the confidence of a pixel is the same bits whether it is returned
or compared with a threshold: the threshold of self-training is the confidence of a pixel, and the comparison is exact.
"""

import numpy as np
from numba import njit

from udaseg.inference.exponentials import exp
from udaseg.inference.upsampling import BLOCK, interpolate, prepare, stretch_row
from udaseg.labels import IGNORE

_ZERO, _ONE = np.float32(0), np.float32(1)
# With a bias the label need not have the highest logit. A probability below e^-60 is below every useful threshold.
_MAX_EXPONENT = np.float32(60)
_NO_CONFIDENCE = np.empty((0, 0), np.float32)


@njit(inline="always")
def _argmax(logits_CX, bias, n, winner, winner_logit, score):
    """Write argmax(logit + bias) of n pixels to `winner` and its logit, without the bias, to `winner_logit`."""
    winner[:] = 0
    score[:] = -np.inf
    for c in range(logits_CX.shape[0]):
        logits, class_bias = logits_CX[c], bias[c]
        for x in range(n):
            logit, highest, label, label_logit = logits[x], score[x], winner[x], winner_logit[x]
            biased = logit + class_bias
            # Strictly greater: of equal logits the lowest class wins, as in torch.argmax.
            wins = biased > highest
            winner[x] = c if wins else label
            winner_logit[x] = logit if wins else label_logit
            score[x] = biased if wins else highest


@njit(inline="always")
def _softmax(logits_CX, winner_logit, n, probability):
    """Write the softmax probability of the label of n pixels: 1 / sum_c exp(logit_c - logit of the label)."""
    probability[:] = _ZERO
    for c in range(logits_CX.shape[0]):
        logits = logits_CX[c]
        for x in range(n):
            probability[x] += exp(min(logits[x] - winner_logit[x], _MAX_EXPONENT))
    for x in range(n):
        probability[x] = _ONE / probability[x]


@njit(cache=True, nogil=True, error_model="numpy")  # numba's own division checks for 0 and is no vector code
def _label(logits_CHW, rows, columns, bias, thresholds, label_HW, confidence_HW):
    """Write argmax(logit + bias) to label_HW, IGNORE where its probability is below the threshold of the class.

    Thresholds of 0 keep every pixel. The probability is written to confidence_HW, unless that is empty.
    """
    classes, (height, width) = len(logits_CHW), label_HW.shape
    returns_confidence, selects = confidence_HW.size > 0, np.any(thresholds > _ZERO)
    rows_2CW, cached_rows = np.empty((2, classes, width), np.float32), np.full(2, -1)
    logits_CX, winner = np.empty((classes, BLOCK), np.float32), np.empty(BLOCK, np.uint32)
    winner_logit, score, probability = np.empty((3, BLOCK), np.float32)
    for y in range(height):
        stretch_row(logits_CHW, rows.low[y], columns, cached_rows, rows_2CW)
        stretch_row(logits_CHW, rows.high[y], columns, cached_rows, rows_2CW)
        for start in range(0, width, BLOCK):
            n = min(BLOCK, width - start)
            interpolate(rows_2CW, rows, y, start, n, logits_CX)
            _argmax(logits_CX, bias, n, winner, winner_logit, score)
            if returns_confidence or selects:
                _softmax(logits_CX, winner_logit, n, probability)
            if returns_confidence:
                confidence_HW[y, start : start + n] = probability[:n]
            if selects:
                for x in range(n):
                    if probability[x] < thresholds[winner[x]]:
                        winner[x] = IGNORE
            label = label_HW[y, start : start + n]
            for x in range(n):
                label[x] = winner[x]


def label_and_confidence(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of every pixel and the softmax probability of that label.

    logits_CHW is float16 or float32 [C, h, w], C at most 254. The logits are upsampled bilinearly to (height, width)
    before the softmax. Returns uint8 [H, W] (of equal logits the lowest class) and float32 [H, W], within 1e-6 of the
    exact softmax of the upsampled logits. Raises UdasegError for other ranks and dtypes and for logits that are not
    finite.
    """
    logits_CHW, rows, columns = prepare(logits_CHW, height, width, align_corners)
    label_HW, confidence_HW = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    zeros = np.zeros(len(logits_CHW), np.float32)
    _label(logits_CHW, rows, columns, zeros, zeros, label_HW, confidence_HW)
    return label_HW, confidence_HW


def argmax_label(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return only the label of `label_and_confidence`, uint8 [H, W], in half of its time."""
    zeros = np.zeros(len(logits_CHW), np.float32)
    return thresholded_label(logits_CHW, height, width, align_corners, zeros, zeros)


def thresholded_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, bias: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return argmax(logit + bias) where its softmax probability reaches the threshold of the class, 255 elsewhere.

    logits_CHW, the size and the errors are as in `label_and_confidence`. bias and thresholds are float32 [C]; the
    result is uint8 [H, W]. The bias moves the label, not the probability. With a bias of 0 a pixel is kept exactly
    where the confidence of `label_and_confidence` is at least thresholds[label].
    """
    logits_CHW, rows, columns = prepare(logits_CHW, height, width, align_corners)
    label_HW = np.empty((height, width), np.uint8)
    _label(logits_CHW, rows, columns, bias, thresholds, label_HW, _NO_CONFIDENCE)
    return label_HW


def where_confident(label: np.ndarray, confidence: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the label where its confidence reaches the threshold of its class, and 255 elsewhere: uint8.

    label is uint8 and confidence float32, of one shape; thresholds are [C].
    """
    least = np.full(IGNORE + 1, np.inf, np.float32)
    least[: len(thresholds)] = thresholds
    return np.where(confidence >= least[label], label, IGNORE).astype(np.uint8)
