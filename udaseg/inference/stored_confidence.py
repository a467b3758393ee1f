"""The label and an 8-bit confidence of each pixel of a grid twice as fine as that of the logits.

**Grid.** Logits [C, h, w] are interpolated to every half of their steps, [2h-1, 2w-1]: the points of the logits and the
middles between them. So the values between four neighbours of the grid follow from these four alone, as they do with
the logits, whatever `align_corners` and the size of the image are.

**Code.** Thresholds lie near 1, where most pixels of a class are. So the code k is uniform in the log-odds
z = ln(p / (1 - p)) of the confidence p, between the least confidence of an argmax, 1/C, and the largest below 1 in
float32, 1 - 2^-24:

    z_k = z_0 + k d,  z_0 = -ln(C - 1),  d = (24 ln 2 + ln(C - 1)) / 255,  k = round((z - z_0) / d) in 0..255

Since dp = p (1 - p) dz, a confidence is off by no more than p (1 - p) d / 2 in the first order, and by d / 8 anywhere.
With 19 classes, d = 0.0766: 0.0096 at 0.5, 0.0034 at 0.9, 0.0004 at 0.99, 0.00004 at 0.999. Codes uniform in p would be
off by 0.0020 everywhere, and all confidences above 0.998 would be one. Of two classes, log-odds are differences of
logits, which are interpolated linearly: between neighbours of the same label the log-odds are exact but for the code.

**Between neighbours of several labels** the label is that with the largest sum of w ln(1 + e^2z) over the neighbours,
where w are the weights of the interpolation. Where a neighbour is sure, that is 2 z, as two classes need it. Where it
is not, its rivals are several, and its lead over each of them is more than z. Of thirteen such rules, measured on
toytown with three seeds, none gave fewer labels that differ from those of the logits: 1.5 %, for 3.1 % with the nearest
neighbour. The log-odds of that label are interpolated too; at a neighbour of another label they are at most -|z|, as
they would be of two classes.
"""

import math

import numpy as np
from numba import njit

from udaseg.inference.confidence import label_and_confidence
from udaseg.inference.upsampling import Taps, taps

CODES = 256
_LARGEST = 24 * math.log(2)  # the log-odds of 1 - 2^-24


def code_step(classes: int) -> float:
    """Return the step d between two codes, in log-odds."""
    return (_LARGEST - _lowest(classes)) / (CODES - 1)


def code_bound(confidence: np.ndarray | float, classes: int) -> np.ndarray | float:
    """Return by how much a stored confidence is off at the most: within half a step of its log-odds."""
    log_odds = np.log(confidence) - np.log1p(-np.minimum(confidence, 1 - 2.0**-24))
    half = code_step(classes) / 2
    return np.maximum(_logistic(log_odds + half) - confidence, confidence - _logistic(log_odds - half))


def encode(confidence: np.ndarray, classes: int) -> np.ndarray:
    """Return the codes of confidences, uint8; confidences of 0 to 1 of the most likely of `classes` classes."""
    confidence = np.asarray(confidence, np.float64)
    log_odds = np.log(confidence) - np.log(np.maximum(1 - confidence, 2.0**-24))
    codes = np.rint((log_odds - _lowest(classes)) / code_step(classes))
    return np.clip(codes, 0, CODES - 1).astype(np.uint8)


def decode(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-odds and the confidence of each code, float32 [256]."""
    log_odds = _lowest(classes) + code_step(classes) * np.arange(CODES)
    return log_odds.astype(np.float32), _logistic(log_odds).astype(np.float32)


def compress(logits_CHW: np.ndarray) -> np.ndarray:
    """Return the label and the code of the confidence at each point of the finer grid: uint8 [2, 2h-1, 2w-1].

    logits_CHW is float16 or float32 [C, h, w]. Raises UdasegError for logits that are not finite.
    """
    classes, height, width = logits_CHW.shape
    label_hw, confidence_hw = label_and_confidence(logits_CHW, 2 * height - 1, 2 * width - 1, align_corners=True)
    return np.stack([label_hw, encode(confidence_hw, classes)])


def expand(
    planes_2hw: np.ndarray, height: int, width: int, align_corners: bool, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of every pixel, uint8 [H, W], and its confidence, float32 [H, W], from those of the finer grid.

    planes_2hw is that of `compress`; (height, width) and align_corners are those with which the logits would have been
    resized. At the points of the grid labels are those of the logits, and confidences within `code_bound`.
    """
    log_odds, _ = decode(classes)
    votes = np.log1p(np.exp(2 * log_odds))
    label_hw, code_hw = planes_2hw
    rows, columns = (
        _fine_taps(fine, size, align_corners) for fine, size in zip(label_hw.shape, (height, width), strict=True)
    )
    label_HW, log_odds_HW = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    _expand(label_hw, code_hw, rows, columns, log_odds, votes, label_HW, log_odds_HW)
    return label_HW, _logistic(np.maximum(log_odds_HW, log_odds[0]))


def _lowest(classes: int) -> float:
    return -math.log(max(1, classes - 1))


def _logistic(log_odds):
    return 1 / (1 + np.exp(-log_odds))


def _fine_taps(fine: int, target: int, align_corners: bool) -> Taps:
    """Return the taps on the finer grid at the places where those of the logits lie."""
    coarse = taps((fine + 1) // 2, target, align_corners)
    position = 2 * (coarse.low + coarse.high_weight)
    low = np.minimum(position.astype(np.int64), fine - 1)
    weight = (position - low).astype(np.float32)
    return Taps(low, np.minimum(low + 1, fine - 1), np.float32(1) - weight, weight)


@njit(inline="always")
def _elect(label, votes):
    """Return the label with the largest sum of votes; of equal sums the lowest class, as of equal logits."""
    winner, most = label[0], np.float32(-1)
    for candidate in label:
        total = np.float32(0)
        for n in range(len(label)):
            if label[n] == candidate:
                total += votes[n]
        if total > most or (total == most and candidate < winner):
            winner, most = candidate, total
    return winner


@njit(cache=True, nogil=True)
def _expand(label_hw, code_hw, rows, columns, log_odds, votes, label_HW, log_odds_HW):
    """Write the label of each pixel and its log-odds; `log_odds` and `votes` are float32 [256], by code."""
    label = np.empty(4, np.uint8)
    weight, odds, vote = np.empty((3, 4), np.float32)
    for y in range(label_HW.shape[0]):
        for x in range(label_HW.shape[1]):
            for n in range(4):
                row, row_weight = rows.low[y], rows.low_weight[y]
                if n >= 2:
                    row, row_weight = rows.high[y], rows.high_weight[y]
                column, column_weight = columns.low[x], columns.low_weight[x]
                if n % 2:
                    column, column_weight = columns.high[x], columns.high_weight[x]
                code = code_hw[row, column]
                label[n], weight[n] = label_hw[row, column], row_weight * column_weight
                odds[n], vote[n] = log_odds[code], votes[code]
            winner = label[0]
            if not (label[0] == label[1] == label[2] == label[3]):
                winner = _elect(label, weight * vote)
            value = np.float32(0)
            for n in range(4):
                value += weight[n] * (odds[n] if label[n] == winner else -abs(odds[n]))
            label_HW[y, x], log_odds_HW[y, x] = winner, value
