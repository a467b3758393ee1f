"""Score a network on labelled pictures: exact counting, at the labels' own resolution."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from udaseg.confidence import argmax_label
from udaseg.data.records import LabelledSet
from udaseg.files import atomic, write_json
from udaseg.labels import ClassSpace
from udaseg.metrics import confusion, scores
from udaseg.models.averaging import averaged
from udaseg.models.inference import Runner
from udaseg.recipe import Evaluate, HxW

PANELS = 6


def evaluate(
    model: Path,
    pictures: LabelledSet,
    size: HxW | None,
    settings: Evaluate,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write `metrics.json` and a few panels; return the metrics and the manifest's environment.

    Pictures are seen at `size`; the logits are brought to the size of each label, bilinear, before the argmax
    (AdaptSegNet, ADVENT, FDA; never the other way round). So are those of several scales and of the mirror image,
    before they are averaged.
    """
    space = pictures.space
    runner = Runner(model, space.classes, settings.precision)
    counts = np.zeros((len(space), len(space)), np.int64)
    shown = set(np.linspace(0, len(pictures) - 1, min(PANELS, len(pictures))).astype(int).tolist())
    done = 0

    def infer(images: Sequence[np.ndarray], seen: HxW | None) -> list[torch.Tensor]:
        return runner.views(images, seen, settings)

    for indices, images, views in runner.run(pictures, range(len(pictures)), size, settings.batch, infer):
        for place, (i, image) in enumerate(zip(indices, images, strict=True)):
            truth = pictures.label(i)
            own = [view_NChw[place : place + 1] for view_NChw in views]
            predicted = _label(own, truth.shape, settings.average, runner.model.align_corners)
            confusion(truth, predicted, len(space), out=counts)
            if i in shown:
                _write_panel(out / "panels", pictures.records[i].stem, image, truth, predicted, space)
        done += len(indices)
        if progress is not None:
            progress(done, len(pictures))
    metrics = scores(counts, space.classes).document(counts, len(pictures))
    write_json(out / "metrics.json", metrics)
    return metrics, runner.environment


def _label(views: list[torch.Tensor], size: tuple[int, int], average: str, align_corners: bool) -> np.ndarray:
    if len(views) == 1 and views[0].device.type == "cpu":
        return argmax_label(views[0][0].numpy(), *size, align_corners)
    full_1CHW = averaged(views, size, average, align_corners)
    return full_1CHW[0].argmax(dim=0).to(torch.uint8).cpu().numpy()


def _write_panel(
    folder: Path, stem: str, image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, space: ClassSpace
) -> None:
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(space)] = space.palette
    shown = {"image": image, "truth": colours[truth], "prediction": colours[predicted]}
    for name, picture in shown.items():
        with atomic(folder / f"{stem}-{name}.png", sync=False) as temporary:
            Pillow.fromarray(picture).save(temporary, format="PNG", compress_level=1)
