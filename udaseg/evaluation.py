"""Score a network on labelled pictures: exact counting, at the labels' own resolution."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from udaseg import ranks
from udaseg.data.inverse_depth import metres
from udaseg.data.records import LabelledSet
from udaseg.depth_errors import NAMES, DepthErrors
from udaseg.files import atomic, write_json
from udaseg.labels import ClassSpace
from udaseg.metrics import confusion, scores
from udaseg.models.averaging import averaged
from udaseg.models.inference import Runner
from udaseg.recipe import Evaluate, HxW

PANELS = 24  # pictures, of which a report shows those on which models differ most
LONGEST = 1024  # pixels of their longer side


def evaluate(
    model: Path,
    pictures: LabelledSet,
    size: HxW | None,
    settings: Evaluate,
    out: Path,
    *,
    pad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write `metrics.json` and a few panels; return the metrics and the manifest's environment.

    Pictures are seen at `size`, with `pad` at the largest size of their aspect within it; the logits are brought to
    the size of each label, bilinear, before the argmax (AdaptSegNet, ADVENT, FDA; never the other way round). So are
    those of several scales and of the mirror image, before they are averaged. Where the network estimates depth and
    the pictures have it, the metrics hold its errors, as `depth`.
    """
    space = pictures.space
    runner = Runner(model, space.classes, settings.precision, heads=("depth",) if pictures.has_depth else ())
    errors = np.zeros((len(pictures), 1 + len(NAMES))) if runner.model.heads else None
    counts = np.zeros((len(space), len(space)), np.int64)
    shown = set(np.linspace(0, len(pictures) - 1, min(PANELS, len(pictures))).astype(int).tolist())
    own, done = ranks.mine(range(len(pictures)), settings.batch), 0

    def infer(images: Sequence[np.ndarray], seen: HxW | None) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        return runner.views_with_depth(images, seen, settings)

    for indices, images, given in runner.run(pictures, own, size, settings.batch, infer, pad):
        views, depths = zip(*given, strict=True)
        for place, (i, image) in enumerate(zip(indices, images, strict=True)):
            truth = pictures.label(i)
            predicted = runner.label(views, place, truth.shape, settings.average)
            confusion(truth, predicted, len(space), out=counts)
            if errors is not None:
                each = [depth_N1hw[place : place + 1] for depth_N1hw in depths]
                found = DepthErrors()
                found.add(*_metres(pictures, i, averaged(each, truth.shape, "logits", runner.model.align_corners)))
                errors[i] = found.pixels, *found.sums
            if i in shown:
                _write_panel(out / "panels", pictures.records[i].stem, image, truth, predicted, space)
        done += len(indices)
        if progress is not None:
            progress(done, len(own))
    counts = ranks.total(counts)
    metrics = scores(counts, space.classes).document(counts, len(pictures))
    if errors is not None:
        every = DepthErrors()
        for pixels, *sums in ranks.total(errors):  # picture by picture, in order: sums of fractions depend on it
            every.pixels += int(pixels)
            every.sums += sums
        metrics["depth"] = every.document()
    if ranks.first():
        write_json(out / "metrics.json", metrics)
    return metrics, runner.environment


def _metres(pictures: LabelledSet, i: int, depth_11HW: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Give the true depth of a picture, 0 where it is not known, and the estimated one: float [H, W]."""
    truth = pictures.depth(i).astype(np.float64) / 100
    # An inverse depth of 0 or less is farther than all that counts.
    return truth, metres(np.maximum(depth_11HW[0, 0].cpu().numpy(), np.float32(1e-6)))


def _write_panel(
    folder: Path, stem: str, image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, space: ClassSpace
) -> None:
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(space)] = space.palette
    shown = {"image": image, "truth": colours[truth], "prediction": colours[predicted]}
    for name, pixels in shown.items():
        picture = Pillow.fromarray(pixels)
        # Labels take the nearest pixel: averaging would invent colours, which are classes.
        way = Pillow.Resampling.LANCZOS if name == "image" else Pillow.Resampling.NEAREST
        scale = min(1.0, LONGEST / max(picture.size))
        if scale < 1:
            picture = picture.resize([round(side * scale) for side in picture.size], way)
        with atomic(folder / f"{stem}-{name}.png", sync=False) as temporary:
            picture.save(temporary, format="PNG", compress_level=1)
