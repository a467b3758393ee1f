"""Pseudo-labels from probabilities and class-wise thresholds (CBST, eq. 8)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.errors import UdasegError
from udaseg.inference.confidence import thresholded_label
from udaseg.io.files import read_json
from udaseg.labels import IGNORE


def _checked(thresholds, classes):
    thresholds = np.asarray(thresholds, np.float32)
    if thresholds.shape != (classes,):
        raise UdasegError(
            f"{thresholds.size} thresholds for {classes} classes",
            "estimate the thresholds from the predictions that are to be labelled",
        )
    if not (np.isfinite(thresholds).all() and (thresholds > 0).all()):
        raise UdasegError(f"thresholds are {thresholds.tolist()}, expected finite numbers above 0")
    return thresholds


def select(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the class of the highest probability / threshold where it is at least 1, and 255 elsewhere.

    probabilities is [C, ...], thresholds [C] (1 for a class that is not to be chosen); returns uint8 [...]. The winner
    is not the plain argmax: with thresholds 0.95 and 0.3, probabilities 0.6 and 0.35 give the second class. Equality
    keeps, as in the authors' code, so that the pixel which defines a threshold is labelled.
    """
    thresholds = _checked(thresholds, len(probabilities))
    scores = probabilities / thresholds.reshape(-1, *[1] * (probabilities.ndim - 1))
    return np.where(scores.max(0) >= 1, scores.argmax(0), IGNORE).astype(np.uint8)


def argmax_decides(thresholds: np.ndarray) -> bool:
    """Tell whether plain argmax, kept where its confidence reaches its threshold, is the rule of `select`.

    A class that is not the argmax has a probability of at most 1/2. So it can win only with a threshold of at most 1/2
    that is also lower than the threshold of the argmax: never where all thresholds exceed 1/2, or all are equal.
    """
    return bool(np.min(thresholds) > 0.5 or np.all(thresholds == thresholds[0]))


def pseudo_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, thresholds: np.ndarray
) -> np.ndarray:
    """Return the pseudo-label of one image, uint8 [H, W], 255 where no class reaches its threshold.

    logits_CHW is float16 or float32 [C, h, w], upsampled bilinearly to (height, width) before the softmax; thresholds
    is [C]. The rule is that of `select`; the division becomes a difference of logarithms, so the probabilities of all
    classes are never held. Raises UdasegError for logits or thresholds that are not finite or do not fit together.
    """
    thresholds = _checked(thresholds, len(logits_CHW))
    bias = np.zeros_like(thresholds) if argmax_decides(thresholds) else -np.log(thresholds)
    return thresholded_label(logits_CHW, height, width, align_corners, bias, thresholds)


def thresholds_document(
    policy: str,
    p: float | None,
    classes: Sequence[str],
    thresholds: np.ndarray,
    predicted: np.ndarray,
    kept: np.ndarray,
) -> dict[str, Any]:
    """Return what thresholds.json holds.

    thresholds is [C]; predicted [C] counts the pixels by plain argmax, kept [C] those in the written labels.
    """
    return {
        "policy": policy,
        "p": None if p is None else float(p),
        "classes": list(classes),
        "threshold": [float(value) for value in thresholds],
        "predicted": [int(count) for count in predicted],
        "kept": [int(count) for count in kept],
    }


def read_thresholds(path: Path, classes: Sequence[str]) -> dict[str, Any]:
    """Read thresholds.json. Raises UdasegError where it is missing, of other classes, or not whole."""
    document = read_json(path)
    if document is None:
        raise UdasegError(f"{path} does not exist", "udaseg pseudolabel writes it beside its labels")
    if document.get("classes") != list(classes):
        raise UdasegError(
            f"{path}: expected thresholds of {', '.join(classes)}; found {document.get('classes')}",
            "make the pseudo-labels with a model of these classes",
        )
    for key in ("threshold", "predicted", "kept"):
        values = document.get(key)
        if not isinstance(values, list) or len(values) != len(classes) or not all(map(_is_count, values)):
            found = f"{path}: {key} should be {len(classes)} numbers of at least 0, found {values}"
            raise UdasegError(found, "run udaseg pseudolabel again")
    return document


def require_same(what: Path, found: Sequence[str] | None, classes: Sequence[str], hint: str) -> None:
    """Raise UdasegError where something is not of these classes, in their order; None is not known to be of others."""
    if found is None or list(found) == list(classes):
        return
    missing = [name for name in classes if name not in found]
    more = [name for name in found if name not in classes]
    unlike = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(more)}"] * bool(more)
    differ = " and ".join(unlike) or "in another order"
    raise UdasegError(f"{what} is of {len(found)} classes, expected {len(classes)}: it is {differ}", hint)


def classes_of(labels: Path) -> list[str] | None:
    """Read which classes the pseudo-labels in a folder are of; None where their stage's result is not beside them.

    Raises UdasegError where that says nothing of classes.
    """
    for name in ("refine.json", "thresholds.json"):
        path = labels.resolve().parent / name
        document = read_json(path)
        if document is not None:
            classes = document.get("classes")
            if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
                raise UdasegError(f"{path} should list its classes by name, found {classes!r}", "make the labels again")
            return classes
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf
