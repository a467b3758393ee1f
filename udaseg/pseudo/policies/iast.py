"""Image-adaptive thresholds: each image moves the thresholds of its classes a little before it is labelled (IAST).

The thresholds depend on the order of the images, which is that of their names.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from udaseg.config import Iast
from udaseg.inference.confidence import where_confident
from udaseg.parallel import processes
from udaseg.parallel.threads import map_in_order, with_progress
from udaseg.pseudo.passes import LabelTask, threshold_values
from udaseg.pseudo.scores import ScoredImage

_CEILING = 0.999  # a threshold of 1 would keep a share of nothing for good


def label_images(task: LabelTask) -> dict[str, Any]:
    """Label all images, one after the other by name, in one pass; return the values for thresholds.json.

    The first of several processes does it: the thresholds of an image follow from those of the image before.
    """
    return processes.broadcast(lambda: _label_in_turn(task))


def _label_in_turn(task: LabelTask) -> dict[str, Any]:
    stems, settings, classes = task.scores.stems, task.settings.iast, len(task.space)
    thresholds = np.full(classes, settings.start)
    predicted, kept = np.zeros((2, classes), np.int64)

    def decide(image: ScoredImage) -> tuple[str, np.ndarray, np.ndarray, list[np.ndarray]]:
        pixels = image.read().label_and_confidence()
        return image.stem, *pixels, sorted_by_class(*pixels, classes)

    def with_thresholds() -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        nonlocal thresholds, predicted
        for stem, label_HW, confidence_HW, confidences in map_in_order(decide, task.scores.scan(stems)):
            thresholds = adapted(thresholds, confidences, settings)
            predicted += [len(pixels) for pixels in confidences]
            yield stem, label_HW, confidence_HW, thresholds

    def write(image: tuple[str, np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        stem, *pixels = image
        return task.write_and_count(stem, lambda: where_confident(*pixels))

    for count in with_progress(map_in_order(write, with_thresholds()), len(stems), task.progress):
        kept += count
    return threshold_values(None, thresholds, predicted, kept) | {"iast": settings.model_dump()}


def sorted_by_class(label: np.ndarray, confidence: np.ndarray, classes: int) -> list[np.ndarray]:
    """Return the confidences of the pixels of each class, ascending: C arrays of float32; 255 is in none."""
    order = np.argsort(label, axis=None, kind="stable")
    bounds = np.searchsorted(label.reshape(-1)[order], np.arange(classes + 1))
    pixels = confidence.reshape(-1)[order]
    return [np.sort(pixels[start:end]) for start, end in pairwise(bounds)]


def percentile_with(ascending: np.ndarray, extra: float, share: float) -> float:
    """Return the value below which a share (0 to 1) of `ascending` and `extra` lies, interpolated linearly."""
    place = int(np.searchsorted(ascending, extra))

    def at(rank: int) -> float:
        return extra if rank == place else float(ascending[rank - (rank > place)])

    rank = share * len(ascending)
    low = math.floor(rank)
    return at(low) + (rank - low) * (at(min(low + 1, len(ascending))) - at(low))


def adapted(thresholds: np.ndarray, confidences: list[np.ndarray], settings: Iast) -> np.ndarray:
    """Return the thresholds after an image, float64 [C]; confidences are those of sorted_by_class.

    theta <- beta theta + (1 - beta) theta', where theta' is the value that the share alpha theta^gamma of the class's
    confidences and theta itself exceed. Classes that are not in the image keep their threshold.
    """
    moved = thresholds.copy()
    for c, (theta, ascending) in enumerate(zip(thresholds, confidences, strict=True)):
        own = percentile_with(ascending, float(theta), 1 - settings.alpha * float(theta) ** settings.gamma)
        moved[c] = min(settings.beta * theta + (1 - settings.beta) * own, _CEILING)
    return moved
