"""Score a network on labelled images: exact counting, at the labels' own resolution."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from udaseg.config import Evaluate, HxW
from udaseg.data.depth import metres
from udaseg.data.image_sets import LabelledSet, View
from udaseg.errors import UdasegError
from udaseg.inference.averaging import averaged
from udaseg.inference.confidence import argmax_label
from udaseg.inference.predictions import Predictions
from udaseg.inference.runner import Runner
from udaseg.io.files import atomic, write_json
from udaseg.labels import ClassSpace
from udaseg.metrics import DEPTH_ERRORS, DepthErrors, confusion, scores
from udaseg.parallel import processes

PANELS = 24  # images, of which a report shows those on which models differ most
LONGEST = 1024  # pixels of their longer side


def evaluate(
    model: Path,
    view: View,
    settings: Evaluate,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score a network on a labelled set; return the metrics and the manifest's environment.

    Writes `metrics.json` and a few panels. Logits are upsampled bilinearly to the size of each label before the
    argmax, as in AdaptSegNet, ADVENT and FDA, and before several scales and the mirror image are averaged. Where the
    network estimates depth and the images have it, the metrics hold its errors, as `depth`.
    """
    dataset = view.images
    runner = Runner(model, dataset.space.classes, settings.precision, heads=("depth",) if dataset.has_depth else ())
    errors = np.zeros((len(dataset), 1 + len(DEPTH_ERRORS))) if runner.model.heads else None
    tally = Tally(dataset, out)
    shard, done = processes.shard(range(len(dataset)), settings.batch), 0

    def infer(images: Sequence[np.ndarray], size: HxW) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        return runner.views_with_depth(images, size, settings)

    for batch in runner.run(view, shard, settings.batch, infer, scales=settings.scales, label=dataset.label):
        views, depths = zip(*batch.output, strict=True)
        for n, (i, image, label) in enumerate(zip(batch.indices, batch.images, batch.labels, strict=True)):
            tally.add(i, image, label, runner.label(views, n, label.shape, settings.average))
            if errors is not None:
                maps = [depth_N1hw[n : n + 1] for depth_N1hw in depths]
                of_image = DepthErrors()
                of_image.add(*_metres(dataset, i, averaged(maps, label.shape, "logits", runner.model.align_corners)))
                errors[i] = of_image.pixels, *of_image.sums
        done += len(batch.indices)
        if progress is not None:
            progress(done, len(shard))
    metrics = tally.document()
    if errors is not None:
        total = DepthErrors()
        for pixels, *sums in processes.sum_of_all(errors):  # image by image, in order: sums of fractions depend on it
            total.pixels += int(pixels)
            total.sums += sums
        metrics["depth"] = total.document()
    if processes.is_first():
        write_json(out / "metrics.json", metrics)
    return metrics, runner.environment


def evaluate_predictions(
    file: Path,
    dataset: LabelledSet,
    average: str,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write `metrics.json` and a few panels, as `evaluate`, of the scores in a predictions.h5; return the metrics.

    `average=logits` brings them to the size of each label as they are, `probs` their softmax, as several networks are
    averaged (multi-band transfer of FDA, section 3.3). Raises UdasegError where the file has other classes, or lacks an
    image.
    """
    tally = Tally(dataset, out)
    own = processes.shard(range(len(dataset)))
    with Predictions(file) as store:
        if store.classes != tuple(dataset.space.classes):
            raise UdasegError(
                f"{file} has the classes {', '.join(store.classes)}; expected {', '.join(dataset.space.classes)}",
                "predict with a model of the classes that are scored",
            )
        lacking = [record.stem for record in dataset.records if record.stem not in store.stems]
        if lacking:
            raise UdasegError(
                f"{file} lacks {len(lacking)} of the {len(dataset)} labelled images, the first is {lacking[0]}",
                f"predict these: udaseg predict --set target.split={dataset.split} --out FOLDER",
            )
        for done, i in enumerate(own, 1):
            truth, scores_CHW = dataset.label(i), store.logits(dataset.records[i].stem).astype(np.float32)
            if average == "probs":
                scores_CHW = torch.from_numpy(scores_CHW).softmax(0).numpy()
            predicted = argmax_label(scores_CHW, *truth.shape, store.align_corners)
            tally.add(i, dataset.image(i) if i in tally.shown else None, truth, predicted)
            if progress is not None:
                progress(done, len(own))
    metrics = tally.document()
    if processes.is_first():
        write_json(out / "metrics.json", metrics)
    return metrics


class Tally:
    """Count what is predicted of labelled images, and draw a panel of some of them."""

    def __init__(self, dataset: LabelledSet, out: Path):
        self._dataset, self._out = dataset, out
        classes = len(dataset.space)
        self._counts = np.zeros((classes, classes), np.int64)
        self.shown = set(np.linspace(0, len(dataset) - 1, min(PANELS, len(dataset))).astype(int).tolist())

    def add(self, i: int, image: np.ndarray | None, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Count image i, uint8 [H, W] each; its image is needed where i is to be shown."""
        space = self._dataset.space
        confusion(truth, predicted, len(space), out=self._counts)
        if i in self.shown:
            _write_panel(self._out / "panels", self._dataset.records[i].stem, image, truth, predicted, space)

    def document(self) -> dict[str, Any]:
        """Return what metrics.json holds, of the images of all processes."""
        counts = processes.sum_of_all(self._counts)
        return scores(counts, self._dataset.space.classes).document(counts, len(self._dataset))


def _metres(dataset: LabelledSet, i: int, depth_11HW: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Give the true depth of an image, 0 where it is not known, and the estimated one: float [H, W]."""
    truth = dataset.depth(i).astype(np.float64) / 100
    # An inverse depth of 0 or less is farther than all that counts.
    return truth, metres(np.maximum(depth_11HW[0, 0].cpu().numpy(), np.float32(1e-6)))


def _write_panel(
    folder: Path, stem: str, image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, space: ClassSpace
) -> None:
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(space)] = space.palette
    shown = {"image": image, "truth": colours[truth], "prediction": colours[predicted]}
    for name, pixels in shown.items():
        panel = Pillow.fromarray(pixels)
        # Labels take the nearest pixel: averaging would invent colours, which are classes.
        way = Pillow.Resampling.LANCZOS if name == "image" else Pillow.Resampling.NEAREST
        scale = min(1.0, LONGEST / max(panel.size))
        if scale < 1:
            panel = panel.resize([round(side * scale) for side in panel.size], way)
        with atomic(folder / f"{stem}-{name}.png", sync=False) as temporary:
            panel.save(temporary, format="PNG", compress_level=1)
