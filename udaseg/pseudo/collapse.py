"""Watch self-training for collapse: errors in the labels of a round come back stronger in the next."""

from typing import Any


def watch(document: dict[str, Any], before: dict[str, Any] | None = None) -> list[str]:
    """Say which classes are going under, from the content of thresholds.json and that of the round before.

    A class warns when it is never predicted, when pixels of it were labelled in the round before and none are now,
    and when its threshold is below 1 / C, the confidence of a guess. Thresholds of cbst-sp are no probabilities.
    """
    classes, warnings = document["classes"], []
    earlier = dict(zip(before["classes"], before["kept"], strict=True)) if before else {}
    rows = zip(classes, document["threshold"], document["predicted"], document["kept"], strict=True)
    for name, threshold, predicted, kept in rows:
        if predicted == 0:
            warnings.append(f"{name} is never predicted: it gets no pseudo-label")
        elif threshold < 1 / len(classes) and document["policy"] != "cbst-sp":
            warnings.append(f"{name}: the threshold {threshold:.3f} is below chance, 1/{len(classes)}")
        if kept == 0 and earlier.get(name):
            warnings.append(f"{name} has vanished: {earlier[name]} pixels were labelled in the round before, none now")
    return warnings
