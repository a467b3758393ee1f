"""Accuracy and mIoU that are predicted from confidences, calibrated on the labelled source."""

import numpy as np
from scipy.optimize import minimize_scalar

from udaseg.inference.judgement.certainty import probabilities
from udaseg.labels import IGNORE

TEMPERATURES = 0.1, 10.0  # between which the one of the source is sought
FITTED = 16384  # pixels that are enough for one number


def atc_threshold(confidence_P: np.ndarray, is_right_P: np.ndarray) -> float:
    """Return the confidence t that as large a share of the source exceeds or equals as is right.

    E_S[1(s < t)] = E_S[1(wrong)] for the score s (Garg et al., Leveraging Unlabeled Data to Predict
    Out-of-Distribution Performance, ICLR 2022, eq. 1). confidence: any monotone score [P], is_right: bool [P]. Where
    no pixel is right, t is infinite.
    """
    right = int(is_right_P.sum())
    return float(np.partition(confidence_P, -right)[-right]) if right else float("inf")


def atc_accuracy(confidence_P: np.ndarray, threshold: float) -> float:
    """Return the predicted accuracy on the target: 1 - E_T[1(s < t)] (ATC, eq. 2)."""
    return float((confidence_P >= threshold).mean())


def fit_temperature(logits_PC: np.ndarray, labels_P: np.ndarray) -> float:
    """Return the temperature T that minimises the cross-entropy of softmax(logits / T) on labelled pixels.

    logits: float32 [P, C]; labels: uint8 [P], of which 255 is skipped. 1 where no pixel has a label. Source: Guo et
    al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    known = np.flatnonzero(labels_P != IGNORE)
    if not len(known):
        return 1.0
    chosen = known[np.linspace(0, len(known) - 1, min(FITTED, len(known))).astype(int)]
    shifted_PC = logits_PC[chosen] - logits_PC[chosen].max(1, keepdims=True)
    own_P = shifted_PC[np.arange(len(chosen)), labels_P[chosen]]

    def cross_entropy(log_temperature: float) -> float:
        scale = np.float32(np.exp(-log_temperature))
        return float(np.log(np.exp(shifted_PC * scale).sum(1)).mean(dtype=np.float64) - (own_P * scale).mean())

    found = minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def expected_iou(probabilities_PC: np.ndarray) -> np.ndarray:
    """Return the IoU that probabilities lead to expect for each class: float64 [C].

    A pixel is of class c with probability p_c. Of the n_c pixels that are predicted as c, the sum of their p_c is
    expected to be right, and the sum of p_c over all pixels to be truly c:
    IoU_c = right_c / (n_c + true_c - right_c). It holds as far as the probabilities are calibrated.
    """
    classes = probabilities_PC.shape[1]
    predicted_P = probabilities_PC.argmax(1)
    right_C = np.bincount(predicted_P, probabilities_PC.max(1), classes)
    number_C = np.bincount(predicted_P, minlength=classes)
    true_C = probabilities_PC.sum(0, dtype=np.float64)
    return right_C / np.maximum(number_C + true_C - right_C, np.finfo(np.float64).tiny)


def expected_miou(logits_PC: np.ndarray, temperature: float, is_taught_C: np.ndarray) -> float:
    """Return the mean of `expected_iou` over the classes that the source's labels show: bool [C]."""
    return float(expected_iou(probabilities(logits_PC, temperature))[is_taught_C].mean())
