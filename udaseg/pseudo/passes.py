"""Passes over the scores of all images: confidences of all images first, then labels."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from udaseg.config import Pseudolabel
from udaseg.data.images.read import read_train_ids, write_label
from udaseg.labels import ClassSpace, flat_palette
from udaseg.metrics import count_classes
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress, map_in_order, with_progress
from udaseg.pseudo.counted_images import CountedImages
from udaseg.pseudo.scores import ScoredImage, Scores, Source
from udaseg.pseudo.thresholds import ConfidenceHistogram
from udaseg.statistics.spatial_prior import Prior

Thresholds = Callable[[ConfidenceHistogram, float], np.ndarray]  # histogram, p -> float32 [C]


class Policy(NamedTuple):
    """The steps of a policy whose thresholds come from all images."""

    label_and_confidence: Callable[[Scores], tuple[np.ndarray, np.ndarray]]  # -> uint8 [H, W], float32 [H, W]
    thresholds: Thresholds
    label: Callable[[Scores, np.ndarray], np.ndarray]  # with thresholds [C] -> uint8 [H, W], 255 without a label


@dataclass(frozen=True)
class LabelTask:
    """The images to label by their scores, how, and where the labels go; `p` is the share of the round.

    With `state`, a folder, the first pass goes on after a stop: it keeps there what it has counted.
    """

    scores: Source
    space: ClassSpace
    settings: Pseudolabel
    p: float
    folder: Path
    prior: Prior | None = None
    progress: Progress | None = None
    state: Path | None = None

    def has_label(self, stem: str) -> bool:
        """Tell whether the label of an image has been written."""
        return self._label_file(stem).exists()

    def write_and_count(self, stem: str, label: Callable[[], np.ndarray]) -> np.ndarray:
        """Write the label of an image, unless it is there already, and count its classes: int64 [C]."""
        path, classes = self._label_file(stem), len(self.space)
        if path.exists():
            return count_classes(read_train_ids(path, self.space), classes)
        label_HW = label()
        write_label(path, label_HW, flat_palette(self.space))
        return count_classes(label_HW, classes)

    def _label_file(self, stem: str) -> Path:
        return self.folder / f"{stem}.png"


def plain_policy(task: LabelTask, thresholds: Thresholds) -> Policy:
    """Return the policy that compares the softmax probability of a pixel with the threshold of its class."""
    return Policy(
        lambda scores: scores.label_and_confidence(),
        thresholds,
        lambda scores, thresholds_C: scores.select(thresholds_C),
    )


def label_in_two_passes(task: LabelTask, policy: Policy) -> dict[str, Any]:
    """Label all images by thresholds over all images; return the values for thresholds.json."""
    histogram = _count_confidences(task, policy)
    thresholds = policy.thresholds(histogram, task.p)
    kept = _write_labels(task, policy, thresholds)
    values = threshold_values(task.p, thresholds, histogram.predicted, kept)
    return values | task.settings.model_dump(include={"p_step", "p_max", "stride"})


def _count_confidences(task: LabelTask, policy: Policy) -> ConfidenceHistogram:
    """Count the confidences of all images, but for those that were counted before a stop."""
    counted = CountedImages(task.state, task.scores.stems, len(task.space))
    stems = task.scores.shard(counted.missing())

    def count(image: ScoredImage) -> tuple[str, tuple[np.ndarray, np.ndarray]]:
        return image.stem, policy.label_and_confidence(image.read())

    pixels = map_in_order(count, task.scores.scan(stems))
    for stem, (label_HW, confidence_HW) in with_progress(pixels, len(stems), _half(task, first=True)):
        counted.histogram.add(label_HW, confidence_HW, task.settings.stride)
        counted.note(stem)
    return counted.finish()


def _write_labels(task: LabelTask, policy: Policy, thresholds: np.ndarray) -> np.ndarray:
    """Write the labels of all images that have none; return the pixels in all labels by class, int64 [C]."""
    missing = [stem for stem in task.scores.stems if not task.has_label(stem)]
    processes.barrier()  # no process writes before all have read which labels are missing
    absent = frozenset(missing)
    written = processes.shard([stem for stem in task.scores.stems if stem not in absent])
    stems = task.scores.shard(missing)

    def write(image: ScoredImage) -> np.ndarray:
        return task.write_and_count(image.stem, lambda: policy.label(image.read(), thresholds))

    # Keeping what the first pass computed would save a third of it, for as many images as memory holds: 48 of
    # 1024x2048 in 512 MB, where predicting them took minutes.
    kept = np.zeros(len(task.space), np.int64)
    images = chain((ScoredImage(stem, None) for stem in written), task.scores.scan(stems))
    total = len(written) + len(stems)
    for count in with_progress(map_in_order(write, images), total, _half(task, first=False)):
        kept += count
    return processes.sum_of_all(kept)


def _half(task: LabelTask, *, first: bool) -> Progress | None:
    """Return the progress of one of the two passes, each of which is half of the whole."""
    show = task.progress
    if show is None:
        return None
    return lambda done, total: show(done if first else total + done, 2 * total)


def threshold_values(
    p: float | None, thresholds: np.ndarray, predicted: np.ndarray, kept: np.ndarray
) -> dict[str, Any]:
    """Return the values of thresholds.json that every policy has, as plain numbers; thresholds and counts are [C]."""
    share = None if p is None else float(p)
    return {"p": share, "threshold": thresholds.tolist(), "predicted": predicted.tolist(), "kept": kept.tolist()}
