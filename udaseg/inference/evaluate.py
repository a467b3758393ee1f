"""Evaluate a network or its predictions on labelled images: exact counts at the labels' own size, or at another."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from udaseg.config import Evaluate, HxW
from udaseg.data.augment import resize_label
from udaseg.data.depth import metres
from udaseg.data.image_sets import LabelledSet, View
from udaseg.errors import UdasegError
from udaseg.inference.averaging import average_views
from udaseg.inference.bootstrap import ImageCounts
from udaseg.inference.confidence import argmax_label
from udaseg.inference.last_models import last_scores
from udaseg.inference.predictions import Predictions
from udaseg.inference.runner import Runner
from udaseg.io.files import atomic, write_json
from udaseg.labels import ClassSpace
from udaseg.metrics import DEPTH_ERRORS, DepthErrors, confusion, scores
from udaseg.parallel import processes

PANELS = 24  # images with a panel; a report shows those where models differ most
MAX_SIDE = 1024  # pixels of the longer side of a panel


def evaluate(
    model: Path,
    view: View,
    settings: Evaluate,
    out: Path | None,
    *,
    earlier: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate a network on a labelled set; return the metrics and the description of the device for the manifest.

    Writes `metrics.json` and a few panels into the folder `out`; None writes nothing. Logits are upsampled bilinearly
    to the size of each label, then averaged over scales and the mirror image, before the argmax (as in AdaptSegNet,
    ADVENT and FDA). With `settings.gt_size` labels are resized first, as `read_truth` does. Where the network estimates
    depth and the dataset has it, the metrics hold the errors as `depth`. `earlier` are models of the same training, the
    earliest first: the metrics hold their scores and that of the model as `last`.
    """
    dataset, truth = view.images, View(view.images, settings.gt_size, view.pad)
    runner = Runner(model, dataset.space.classes, settings.precision, heads=("depth",) if dataset.has_depth else ())
    errors = np.zeros((len(dataset), 1 + len(DEPTH_ERRORS))) if runner.model.heads else None
    counter = LabelCounter(truth, out)
    shard, done = processes.shard(range(len(dataset)), settings.batch), 0

    def infer(images: Sequence[np.ndarray], size: HxW) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        return runner.infer_views_with_depth(images, size, settings)

    read_label = partial(read_truth, truth)
    for batch in runner.run(view, shard, settings.batch, infer, scales=settings.scales, label=read_label):
        views, depths = zip(*batch.output, strict=True)
        for n, (i, image, label) in enumerate(zip(batch.indices, batch.images, batch.labels, strict=True)):
            counter.add(i, image, label, runner.label(views, n, label.shape, settings.average))
            if errors is not None:
                maps = [depth_N1hw[n : n + 1] for depth_N1hw in depths]
                image_errors = DepthErrors()
                image_errors.add(
                    *_metres(dataset, i, average_views(maps, image.shape[:2], "logits", runner.model.align_corners))
                )
                errors[i] = image_errors.pixels, *image_errors.sums
        done += len(batch.indices)
        if progress is not None:
            progress(done, len(shard))
    metrics = counter.document()
    if errors is not None:
        total = DepthErrors()
        for pixels, *sums in processes.sum_of_all(
            errors
        ):  # in the order of the images, on which a sum of fractions depends
            total.pixels += int(pixels)
            total.sums += sums
        metrics["depth"] = total.document()
    if earlier:
        mious = [evaluate(one, view, settings, None, progress=progress)[0]["miou"] for one in earlier]
        metrics["last"] = last_scores([*mious, metrics["miou"]])
    if out is not None and processes.is_first():
        write_json(out / "metrics.json", metrics)
    return metrics, runner.environment


def evaluate_predictions(
    file: Path,
    truth: View,
    average: str,
    out: Path,
    *,
    warn: Callable[[str], None],
    hint: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate the predictions in a predictions.h5 on a labelled set; return the metrics.

    Writes `metrics.json` and a few panels into the folder `out`, as `evaluate` does. With `average` "logits" the
    logits are upsampled to the size of each label, with "probs" their softmax, as for several networks (multi-band
    transfer of FDA, section 3.3). `truth` is the set at the size at which its labels are counted. Images without a
    prediction are left out, and `warn` gets their count. Raises UdasegError where the file has other classes, or, with
    the hint, predictions of none of the images.
    """
    dataset = truth.images
    with Predictions(file) as store:
        if store.classes != tuple(dataset.space.classes):
            raise UdasegError(
                f"{file} has the classes {', '.join(store.classes)}; expected {', '.join(dataset.space.classes)}",
                "predict with a model of the classes to evaluate",
            )
        stems = frozenset(store.stems)
        predicted = tuple(record for record in dataset.records if record.stem in stems)
        if not predicted:
            raise UdasegError(
                f"{file} lacks all of the {len(dataset)} labelled images, the first is {dataset.records[0].stem}",
                hint,
            )
        if missing := len(dataset) - len(predicted):
            warn(f"{missing} of {len(dataset)} labelled images have no prediction in {file} and are left out")
        dataset = replace(dataset, records=predicted)
        truth = replace(truth, images=dataset)
        counter = LabelCounter(truth, out)
        shard = processes.shard(range(len(dataset)))
        for done, i in enumerate(shard, 1):
            label_HW, stem = read_truth(truth, i), dataset.records[i].stem
            if average == "probs":
                logits_CHW = torch.from_numpy(store.logits(stem).astype(np.float32)).softmax(0).numpy()
                predicted = argmax_label(logits_CHW, *label_HW.shape, store.align_corners)
            else:
                predicted = store.label(stem, label_HW.shape)
            counter.add(i, dataset.image(i) if i in counter.shown else None, label_HW, predicted)
            if progress is not None:
                progress(done, len(shard))
    metrics = counter.document()
    if processes.is_first():
        write_json(out / "metrics.json", metrics)
    return metrics


def read_truth(truth: View, i: int) -> np.ndarray:
    """Read label i as train ids, uint8 [H, W], at the size at which it is counted: that of the view, nearest.

    Without a size it is the label's own. With `pad` the label keeps its aspect within the size.
    """
    label_HW = truth.images.full_label(i)
    return resize_label(label_HW, truth.size_of(label_HW.shape))


class LabelCounter:
    """Count the predicted and true labels of images, and draw panels of some images.

    `shown` holds the indices of the images with a panel; without a folder there are none.
    """

    def __init__(self, truth: View, out: Path | None):
        self._dataset, self._gt_size, self._out = truth.images, truth.size, out
        dataset = self._dataset
        classes = len(dataset.space)
        self._counts = np.zeros((classes, classes), np.int64)
        self._of_images = ImageCounts(len(dataset), classes)
        panels = 0 if out is None else min(PANELS, len(dataset))
        self.shown = set(np.linspace(0, len(dataset) - 1, panels).astype(int).tolist())

    def add(self, i: int, image: np.ndarray | None, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Count the labels of image i, both uint8 [H, W], and draw its panel if i is in `shown`.

        `image` is uint8 [H, W, 3]; it may be None where i is not in `shown`.
        """
        space = self._dataset.space
        counts = confusion(truth, predicted, len(space))
        self._counts += counts
        self._of_images.add(i, counts)
        if i in self.shown:
            _write_panel(self._out / "panels", self._dataset.records[i].stem, image, truth, predicted, space)

    def document(self) -> dict[str, Any]:
        """Return the content of metrics.json, for the images of all processes."""
        counts = processes.sum_of_all(self._counts)
        document = scores(counts, self._dataset.space.classes).document(counts, len(self._dataset))
        if self._gt_size is not None:
            height, width = self._gt_size
            document["convention"] += f"; labels are resized to {height}x{width}"
            document["gt_size"] = [height, width]
        interval = self._of_images.interval()
        return document if interval is None else document | {"miou_interval": list(interval)}


def _metres(dataset: LabelledSet, i: int, depth_11HW: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the true depth of an image, 0 where it is unknown, and the estimated one: float [H, W], in metres."""
    truth = dataset.depth(i).astype(np.float64) / 100
    # An inverse depth of 0 or less is farther than the largest depth that counts.
    return truth, metres(np.maximum(depth_11HW[0, 0].cpu().numpy(), np.float32(1e-6)))


def _write_panel(
    folder: Path, stem: str, image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, space: ClassSpace
) -> None:
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(space)] = space.palette
    panels = {"image": image, "truth": colours[truth], "prediction": colours[predicted]}
    for name, pixels in panels.items():
        panel = Pillow.fromarray(pixels)
        # Labels take the nearest pixel: averages of colours would be other classes.
        method = Pillow.Resampling.LANCZOS if name == "image" else Pillow.Resampling.NEAREST
        scale = min(1.0, MAX_SIDE / max(panel.size))
        if scale < 1:
            panel = panel.resize([round(side * scale) for side in panel.size], method)
        with atomic(folder / f"{stem}-{name}.png", sync=False) as temporary:
            panel.save(temporary, format="PNG", compress_level=1)
