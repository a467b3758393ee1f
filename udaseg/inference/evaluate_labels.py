"""Evaluate label files of another tool, such as the predictions of another network, on labelled images."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from udaseg.config import HxW
from udaseg.data.augment import resize_label
from udaseg.data.image_sets import View, have_same_aspect
from udaseg.data.images.read import read_train_ids
from udaseg.errors import UdasegError
from udaseg.inference.evaluate import LabelCounter
from udaseg.io.files import write_json
from udaseg.labels import IGNORE
from udaseg.parallel import processes


def evaluate_labels(
    files: Mapping[str, Path],
    truth: View,
    out: Path,
    *,
    warn: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate the label files of images, by stem, on a labelled set; return the metrics.

    A label holds train ids, at the size of the true label or scaled, and is then resized to it, nearest. `truth` is the
    set at the size at which its labels are counted; both labels are then resized to that. Writes `metrics.json` and a
    few panels into the folder `out`, as `evaluate` does. Images without a label file are left out, and `warn` gets
    their count, and that of the resized ones. Raises UdasegError for another aspect, an unknown id, and a pixel without
    a class where the truth has one.
    """
    dataset = truth.images
    predicted = tuple(record for record in dataset.records if record.stem in files)
    if missing := len(dataset) - len(predicted):
        warn(f"{missing} of {len(dataset)} labelled images have no prediction and are left out")
    dataset = replace(dataset, records=predicted)
    truth = replace(truth, images=dataset)
    counter, resized = LabelCounter(truth, out), 0
    shard = processes.shard(range(len(dataset)))
    for done, i in enumerate(shard, 1):
        truth_HW, path = dataset.full_label(i), files[dataset.records[i].stem]
        label_HW = read_train_ids(path, dataset.space)
        resized += label_HW.shape != truth_HW.shape
        label_HW = _match_size(path, label_HW, truth_HW.shape)
        _require_decided(path, label_HW, truth_HW)
        size, image = truth.size_of(truth_HW.shape), dataset.image(i) if i in counter.shown else None
        counter.add(i, image, resize_label(truth_HW, size), resize_label(label_HW, size))
        if progress is not None:
            progress(done, len(shard))
    if resized := int(processes.sum_of_all(np.array([resized]))[0]):
        warn(f"{resized} predictions have another size than the true label, and were resized to it, nearest")
    metrics = counter.document()
    if processes.is_first():
        write_json(out / "metrics.json", metrics)
    return metrics


def _match_size(path: Path, label_HW: np.ndarray, size: HxW) -> np.ndarray:
    if label_HW.shape == size:
        return label_HW
    if not have_same_aspect(label_HW.shape, size):
        raise UdasegError(
            f"{path}: expected the aspect of the true label, {size[0]}x{size[1]}, found "
            f"{label_HW.shape[0]}x{label_HW.shape[1]}",
            "predict whole images, not parts of them",
        )
    return np.array(Pillow.fromarray(label_HW).resize((size[1], size[0]), Pillow.Resampling.NEAREST))


def _require_decided(path: Path, label_HW: np.ndarray, truth_HW: np.ndarray) -> None:
    """Raise UdasegError where a pixel with a true class has no predicted one: leaving it out would raise the score."""
    is_open = (label_HW == IGNORE) & (truth_HW != IGNORE)
    if is_open.any():
        share = is_open.sum() / (truth_HW != IGNORE).sum()
        raise UdasegError(
            f"{path}: expected a class for every pixel that has a true one, found {IGNORE} on {share:.1%} of them",
            "score labels without gaps; those with a threshold are for training",
        )
