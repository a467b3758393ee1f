"""Warnings about thresholds: of a collapse of self-training, and of labels that stored confidences cannot give."""

import numpy as np

from udaseg.config.policies import BY_MOST_LIKELY, WITH_PRIOR
from udaseg.errors import join_names
from udaseg.io.documents.thresholds import Thresholds
from udaseg.pseudo.label_files import argmax_decides


def collapse_warnings(thresholds: Thresholds, previous: Thresholds | None = None) -> list[str]:
    """Return a warning for each class that self-training loses, from the thresholds of this round and the previous.

    A class is lost when it is never predicted, when it had labelled pixels in the previous round and has none now, or
    when its threshold is below 1 / C, the confidence of a guess. Thresholds with a prior are no probabilities.
    """
    classes, warnings = thresholds.classes, []
    earlier = dict(zip(previous.classes, previous.kept, strict=True)) if previous else {}
    rows = zip(classes, thresholds.threshold, thresholds.predicted, thresholds.kept, strict=True)
    for name, threshold, predicted, kept in rows:
        if predicted == 0:
            warnings.append(f"{name} is never predicted: it gets no pseudo-label")
        elif threshold < 1 / len(classes) and thresholds.policy not in WITH_PRIOR:
            warnings.append(f"{name}: the threshold {threshold:.3f} is below chance, 1/{len(classes)}")
        if kept == 0 and earlier.get(name):
            warnings.append(f"{name} has vanished: {earlier[name]} pixels were labelled in the round before, none now")
    return warnings


def one_class_warnings(thresholds: Thresholds) -> list[str]:
    """Return a warning where another class than the most likely one could win, of labels that know that one alone."""
    values = np.array(thresholds.threshold, np.float32)
    if thresholds.policy in BY_MOST_LIKELY or argmax_decides(values):
        return []
    low = [name for name, value in zip(thresholds.classes, values, strict=True) if value <= 0.5]
    return [
        f"the threshold of {join_names(low)} is at most 0.5, so that it could win where another class is more likely; "
        "stored confidences (predict.store=confidence) do not tell where, and these pixels have no label"
    ]
