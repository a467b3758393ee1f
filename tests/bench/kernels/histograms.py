"""Time the collection of the confidences of each class, from which thresholds are order statistics."""

from collections.abc import Iterator

import numpy as np
import scene
from measure import Call, Row, largest

from udaseg.pseudo.thresholds import ConfidenceHistogram, cbst_thresholds

P = 0.2


def by_histogram(label: np.ndarray, confidence: np.ndarray) -> Call:
    """Add an image to a histogram, whose size does not depend on the number of images."""
    histogram = ConfidenceHistogram(scene.CLASSES)

    def call() -> ConfidenceHistogram:
        histogram.add(label, confidence)
        return histogram

    return call


def by_masks(label: np.ndarray, confidence: np.ndarray) -> Call:
    """Keep the confidences of each class as an array; they still have to be sorted, over all images."""
    return lambda: [confidence[label == c] for c in range(scene.CLASSES)]


def by_lists(label: np.ndarray, confidence: np.ndarray) -> Call:
    """Append the confidences to a list for each class, as CRST does; they still have to be sorted."""

    def call() -> list[list[np.float32]]:
        lists = [[] for _ in range(scene.CLASSES)]
        for c in range(scene.CLASSES):
            lists[c].extend(confidence[label == c])
        return lists

    return call


def by_sorted_lists(label: np.ndarray, confidence: np.ndarray) -> Call:
    """Append the confidences and sort them, as CRST does at the end, as if this were the only image."""
    gather = by_lists(label, confidence)

    def call() -> list[list[np.float32]]:
        lists = gather()
        for values in lists:
            values.sort(reverse=True)
        return lists

    return call


def difference(histogram: ConfidenceHistogram, kept: list) -> dict[str, float]:
    """Compare the thresholds; every call adds the same image, which does not change them."""
    exact = [np.sort(np.asarray(values, np.float32))[::-1] for values in kept]
    exact = np.array([values[int(len(values) * P) - 1] if int(len(values) * P) else 1 for values in exact])
    return largest("threshold")(cbst_thresholds(histogram, P), exact)


def rows(size: tuple[int, int]) -> Iterator[Row]:
    label, confidence = scene.labelled(size)
    yield Row(
        "confidence histograms of each class",
        by_histogram(label, confidence),
        {
            "NumPy masks (to be sorted)": lambda: by_masks(label, confidence),
            "lists as in CRST (to be sorted)": lambda: by_lists(label, confidence),
            "lists as in CRST, sorted": lambda: by_sorted_lists(label, confidence),
        },
        label.nbytes + confidence.nbytes,
        difference,
        {"NumPy masks (to be sorted)": 2, "lists as in CRST, sorted": 25},
    )
