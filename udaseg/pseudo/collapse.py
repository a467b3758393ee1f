"""Warn of a collapse of self-training: errors in the labels of a round grow in the next."""

from udaseg.config.policies import WITH_PRIOR
from udaseg.io.documents.thresholds import Thresholds


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
