"""Labels and confidences as in udaseg.inference.confidence, with the probabilities weighted by a spatial prior.

The prior is upsampled bilinearly as the rows go by, like the logits: nothing of the size of the image is held but
the result. Of each class the prior is relative to its own largest value, so that the product of prior and
probability lies between 0 and 1 and its histogram is as fine for a class that is spread over the image as for one
that is not; `weight` puts the classes back into proportion where they compete.
"""

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.inference.upsampling import BLOCK, blend, exp, hold, prepared, taps
from udaseg.labels import IGNORE


@njit(cache=True, nogil=True, error_model="numpy")  # a division that may raise is no vector code
def _decide(logits_CHW, rows, columns, prior_CHW, prior_rows, prior_columns, weight, thresholds, label, confidence):
    """Write argmax(weight * prior * p) and its prior * p; IGNORE where that is 0 or below the class's threshold."""
    classes = logits_CHW.shape[0]
    height, width = label.shape
    rows_2CW = np.empty((2, classes, width), np.float32)
    prior_2CW = np.empty((2, classes, width), np.float32)
    held, prior_held = np.full(2, -1), np.full(2, -1)
    block = np.empty((classes, BLOCK), np.float32)
    best, total = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    own, score = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    winner = np.empty(BLOCK, np.uint32)
    least = np.full(IGNORE + 1, np.inf, np.float32)
    least[:classes] = thresholds
    for y in range(height):
        for row in (rows[0][y], rows[1][y]):
            hold(logits_CHW, row, columns, held, rows_2CW)
        for row in (prior_rows[0][y], prior_rows[1][y]):
            hold(prior_CHW, row, prior_columns, prior_held, prior_2CW)
        upper_CW, lower_CW = rows_2CW[rows[0][y] % 2], rows_2CW[rows[1][y] % 2]
        above_CW, below_CW = prior_2CW[prior_rows[0][y] % 2], prior_2CW[prior_rows[1][y] % 2]
        above_weight, below_weight = prior_rows[2][y], prior_rows[3][y]
        for start in range(0, width, BLOCK):
            n = min(BLOCK, width - start)
            blend(upper_CW, lower_CW, rows[2][y], rows[3][y], start, n, block, best, winner)
            total[:], own[:], score[:], winner[:] = 0, 0, 0, IGNORE
            for c in range(classes):
                logit, factor = block[c], weight[c]
                above, below = above_CW[c, start : start + n], below_CW[c, start : start + n]
                for x in range(n):
                    e = exp(logit[x] - best[x])
                    total[x] += e
                    value = e * (above[x] * above_weight + below[x] * below_weight)
                    weighted = value * factor
                    before, held_value, first = score[x], own[x], winner[x]
                    # Strictly greater: of equal scores the lowest class wins, and a score of 0 none.
                    wins = weighted > before
                    winner[x] = c if wins else first
                    own[x] = value if wins else held_value
                    score[x] = weighted if wins else before
            label_row, confidence_row = label[y, start : start + n], confidence[y, start : start + n]
            for x in range(n):
                own[x] = own[x] / total[x]
            confidence_row[:] = own[:n]
            for x in range(n):
                label_row[x] = IGNORE if own[x] < least[winner[x]] else winner[x]


def _decided(logits_CHW, height, width, align_corners, prior_CHW, weight, thresholds):
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    prior_CHW = np.ascontiguousarray(prior_CHW, np.float32)
    if prior_CHW.ndim != 3 or len(prior_CHW) != len(logits_CHW):
        raise UdasegError(
            f"the prior is {list(prior_CHW.shape)} for logits of {len(logits_CHW)} classes, expected [C, h, w]",
            "make the prior for the classes of the network: udaseg prior",
        )
    # A cell of the prior stands for the pixels in it: its value is at its centre.
    prior_rows, prior_columns = (
        taps(size, target, False) for size, target in zip(prior_CHW.shape[1:], (height, width), strict=True)
    )
    label, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    weight, thresholds = np.asarray(weight, np.float32), np.asarray(thresholds, np.float32)
    _decide(logits_CHW, rows, columns, prior_CHW, prior_rows, prior_columns, weight, thresholds, label, confidence)
    return label, confidence


def label_and_confidence(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, prior_CHW: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return argmax(weight * prior * p) of every pixel and the prior * p of that class, at the size of the labels.

    prior_CHW is float32 [C, h, w] in 0 to 1, of any size, and upsampled bilinearly; weight is float32 [C]. p is the
    softmax of the logits, as in `confidence`. A pixel at which the prior of every class is 0 gets 255 and
    the confidence 0. Raises UdasegError where the prior does not fit the logits, and for logits that are not finite.
    """
    none = np.zeros(len(logits_CHW), np.float32)
    return _decided(logits_CHW, height, width, align_corners, prior_CHW, weight, none)


def thresholded_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, prior_CHW: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return argmax(prior * p / threshold) where prior * p reaches the class's threshold, and 255 elsewhere.

    As label_and_confidence; thresholds is float32 [C], above 0.
    """
    weight = np.float32(1) / np.asarray(thresholds, np.float32)
    return _decided(logits_CHW, height, width, align_corners, prior_CHW, weight, thresholds)[0]
