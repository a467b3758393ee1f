"""Passes over the images of a predictions.h5: confidences of all images first, then labels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from udaseg.config import Pseudolabel
from udaseg.data.images.read import read_train_ids, write_label
from udaseg.inference.confidence import label_and_confidence
from udaseg.inference.predictions import Predictions
from udaseg.labels import ClassSpace, flat_palette
from udaseg.metrics import count_classes
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress, map_in_order, with_progress
from udaseg.pseudo.label_files import pseudo_label
from udaseg.pseudo.thresholds import ConfidenceHistogram
from udaseg.statistics.spatial_prior import Prior

Thresholds = Callable[[ConfidenceHistogram, float], np.ndarray]  # histogram, p -> float32 [C]


class Policy(NamedTuple):
    """The steps of a policy whose thresholds come from all images."""

    label_and_confidence: Callable[[str], tuple[np.ndarray, np.ndarray]]  # stem -> uint8 [H, W], float32 [H, W]
    thresholds: Thresholds
    label: Callable[[str, np.ndarray], np.ndarray]  # stem, thresholds [C] -> uint8 [H, W], 255 without a label


@dataclass(frozen=True)
class LabelTask:
    """The predictions to label, how, and where the labels go; `p` is the share of the round."""

    predictions: Predictions
    space: ClassSpace
    settings: Pseudolabel
    p: float
    folder: Path
    prior: Prior | None = None
    progress: Progress | None = None

    def logits(self, stem: str) -> tuple[np.ndarray, int, int, bool]:
        """Return the logits [C, h, w] of an image, its height and width, and whether corners are aligned."""
        return self.predictions.logits(stem), *self.predictions.size(stem), self.predictions.align_corners

    def write_and_count(self, stem: str, label: Callable[[], np.ndarray]) -> np.ndarray:
        """Write the label of an image, unless it is there already, and count its classes: int64 [C]."""
        path, classes = self.folder / f"{stem}.png", len(self.space)
        if path.exists():
            return count_classes(read_train_ids(path, self.space), classes)
        label_HW = label()
        write_label(path, label_HW, flat_palette(self.space))
        return count_classes(label_HW, classes)


def plain_policy(task: LabelTask, thresholds: Thresholds) -> Policy:
    """Return the policy that compares the softmax probability of a pixel with the threshold of its class."""
    return Policy(
        lambda stem: label_and_confidence(*task.logits(stem)),
        thresholds,
        lambda stem, thresholds_C: pseudo_label(*task.logits(stem), thresholds_C),
    )


def label_in_two_passes(task: LabelTask, policy: Policy) -> dict[str, Any]:
    """Label all images by thresholds over all images; return the values for thresholds.json."""
    stems, classes = processes.shard(task.predictions.stems), len(task.space)

    def show(done: int, total: int) -> None:
        if task.progress is not None:
            task.progress(done, 2 * total)

    histogram = ConfidenceHistogram(classes)
    pixels = map_in_order(policy.label_and_confidence, stems)
    for label_HW, confidence_HW in with_progress(pixels, len(stems), show):
        histogram.add(label_HW, confidence_HW, task.settings.stride)
    histogram = histogram.sum_of_all()
    thresholds = policy.thresholds(histogram, task.p)

    def write(stem: str) -> np.ndarray:
        return task.write_and_count(stem, lambda: policy.label(stem, thresholds))

    # Keeping what the first pass computed would save a third of it, for as many images as memory holds: 48 of
    # 1024x2048 in 512 MB, where predicting them took minutes.
    kept = np.zeros(classes, np.int64)
    counts = with_progress(map_in_order(write, stems), len(stems), lambda done, total: show(total + done, total))
    for count in counts:
        kept += count
    values = threshold_values(task.p, thresholds, histogram.predicted, processes.sum_of_all(kept))
    return values | task.settings.model_dump(include={"p_step", "p_max", "stride"})


def threshold_values(
    p: float | None, thresholds: np.ndarray, predicted: np.ndarray, kept: np.ndarray
) -> dict[str, Any]:
    """Return the values of thresholds.json that every policy has, as plain numbers; thresholds and counts are [C]."""
    share = None if p is None else float(p)
    return {"p": share, "threshold": thresholds.tolist(), "predicted": predicted.tolist(), "kept": kept.tolist()}
