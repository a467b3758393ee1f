"""Class-balanced self-training with spatial priors (CBST-SP): probabilities are weighted by where classes occur.

The prior of a class is relative to its own largest value, so prior * probability lies between 0 and 1 for every class
and its histogram is as fine for a class that occurs everywhere as for one that does not. `weight` restores the
proportions of the classes where they compete.
Source: Zou et al., Unsupervised domain adaptation via class-balanced self-training, ECCV 2018.
"""

from typing import Any

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.inference.exponentials import exp
from udaseg.inference.upsampling import BLOCK, interpolate, prepare, stretch_row, taps
from udaseg.labels import IGNORE
from udaseg.pseudo.passes import LabelTask, Policy, label_in_two_passes
from udaseg.pseudo.thresholds import cbst_thresholds
from udaseg.statistics.spatial_prior import Prior


def label_images(task: LabelTask) -> dict[str, Any]:
    """Label all images by probability times prior, with a threshold for each class; return the values for the JSON.

    Raises UdasegError without a prior.
    """
    maps_CHW, peaks = require_prior(task).relative()
    policy = Policy(
        lambda scores: label_and_confidence(*scores, maps_CHW, peaks / peaks.max()),
        cbst_thresholds,
        lambda scores, thresholds_C: thresholded_label(*scores, maps_CHW, thresholds_C),
    )
    return label_in_two_passes(task, policy) | {"prior_peak": [float(peak) for peak in peaks]}


def require_prior(task: LabelTask) -> Prior:
    """Return the prior of a task. Raises UdasegError without one, and where not all classes have a score."""
    if not task.scores.has_all_classes:
        raise UdasegError(
            f"policy {task.settings.policy} weighs the probabilities of all classes, and {task.scores.name} has the "
            "most likely class alone (predict.store=confidence)",
            "predict again, and store them: udaseg predict --store logits",
        )
    if task.prior is None:
        raise UdasegError(
            f"policy {task.settings.policy} needs a spatial prior",
            "make it from the labels of the source: udaseg prior",
        )
    return task.prior


@njit(inline="always")
def _argmax(logits_CX, prior_CX, weight, n, winner, winner_value, highest_logit, total, score):
    """Write argmax(weight * prior * p) of n pixels to `winner` and its prior * p to `winner_value`.

    Where the prior of every class is 0, they are IGNORE and 0. The last three arguments are buffers.
    """
    highest_logit[:] = -np.inf
    for c in range(logits_CX.shape[0]):
        logits = logits_CX[c]
        for x in range(n):
            highest_logit[x] = max(logits[x], highest_logit[x])
    winner[:], winner_value[:], total[:], score[:] = IGNORE, 0, 0, 0
    for c in range(logits_CX.shape[0]):
        logits, prior, class_weight = logits_CX[c], prior_CX[c], weight[c]
        for x in range(n):
            exponential = exp(logits[x] - highest_logit[x])
            total[x] += exponential
            value = exponential * prior[x]
            weighted = value * class_weight
            highest, label, label_value = score[x], winner[x], winner_value[x]
            # Strictly greater: of equal scores the lowest class wins, and a score of 0 never does.
            wins = weighted > highest
            winner[x] = c if wins else label
            winner_value[x] = value if wins else label_value
            score[x] = weighted if wins else highest
    for x in range(n):
        winner_value[x] = winner_value[x] / total[x]


@njit(cache=True, nogil=True, error_model="numpy")  # numba's own division checks for 0 and is no vector code
def _label(logits_CHW, rows, columns, prior_CHW, prior_rows, prior_columns, weight, thresholds, label_HW, value_HW):
    """Write argmax(weight * prior * p) and its prior * p; IGNORE where that is 0 or below the class's threshold."""
    classes, (height, width) = len(logits_CHW), label_HW.shape
    rows_2CW, cached_rows = np.empty((2, classes, width), np.float32), np.full(2, -1)
    prior_rows_2CW, cached_prior_rows = np.empty((2, classes, width), np.float32), np.full(2, -1)
    logits_CX, prior_CX = np.empty((2, classes, BLOCK), np.float32)
    winner_value, highest_logit, total, score = np.empty((4, BLOCK), np.float32)
    winner = np.empty(BLOCK, np.uint32)
    minimum = np.full(IGNORE + 1, np.inf, np.float32)
    minimum[:classes] = thresholds
    for y in range(height):
        for row in (rows.low[y], rows.high[y]):
            stretch_row(logits_CHW, row, columns, cached_rows, rows_2CW)
        for row in (prior_rows.low[y], prior_rows.high[y]):
            stretch_row(prior_CHW, row, prior_columns, cached_prior_rows, prior_rows_2CW)
        for start in range(0, width, BLOCK):
            n = min(BLOCK, width - start)
            interpolate(rows_2CW, rows, y, start, n, logits_CX)
            interpolate(prior_rows_2CW, prior_rows, y, start, n, prior_CX)
            _argmax(logits_CX, prior_CX, weight, n, winner, winner_value, highest_logit, total, score)
            value_HW[y, start : start + n] = winner_value[:n]
            label = label_HW[y, start : start + n]
            for x in range(n):
                label[x] = IGNORE if winner_value[x] < minimum[winner[x]] else winner[x]


def _label_and_value(logits_CHW, height, width, align_corners, prior_CHW, weight, thresholds):
    logits_CHW, rows, columns = prepare(logits_CHW, height, width, align_corners)
    prior_CHW = np.ascontiguousarray(prior_CHW, np.float32)
    if prior_CHW.ndim != 3 or len(prior_CHW) != len(logits_CHW):
        raise UdasegError(
            f"the prior is {list(prior_CHW.shape)} for logits of {len(logits_CHW)} classes, expected [C, h, w]",
            "make the prior for the classes of the network: udaseg prior",
        )
    # A cell of the prior is a mean over its pixels, so its value belongs to its centre: align_corners is false.
    _, prior_height, prior_width = prior_CHW.shape
    prior_rows, prior_columns = taps(prior_height, height, False), taps(prior_width, width, False)
    label_HW, value_HW = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    weight, thresholds = np.asarray(weight, np.float32), np.asarray(thresholds, np.float32)
    _label(logits_CHW, rows, columns, prior_CHW, prior_rows, prior_columns, weight, thresholds, label_HW, value_HW)
    return label_HW, value_HW


def label_and_confidence(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, prior_CHW: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return argmax(weight * prior * p) of every pixel, uint8 [H, W], and prior * p of that class, float32 [H, W].

    logits_CHW is float16 or float32 [C, h, w]; p is their softmax after upsampling to (height, width), as in
    `inference.confidence`. prior_CHW is float32 [C, h, w] in 0 to 1, of any size, and upsampled bilinearly; weight is
    float32 [C]. A pixel at which the prior of every class is 0 gets 255 and the confidence 0. Raises UdasegError where
    the prior does not fit the logits, and for logits that are not finite.
    """
    zeros = np.zeros(len(logits_CHW), np.float32)
    return _label_and_value(logits_CHW, height, width, align_corners, prior_CHW, weight, zeros)


def thresholded_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, prior_CHW: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return argmax(prior * p / threshold) where prior * p reaches the threshold of its class, 255 elsewhere.

    As `label_and_confidence`; thresholds is float32 [C], above 0. Returns uint8 [H, W].
    """
    weight = np.float32(1) / np.asarray(thresholds, np.float32)
    return _label_and_value(logits_CHW, height, width, align_corners, prior_CHW, weight, thresholds)[0]
