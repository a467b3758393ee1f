"""The scores of a network for every picture of the target, stored at the network's stride."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.data.records import ImageSet
from udaseg.labels import ClassSpace
from udaseg.models.inference import Runner
from udaseg.predictions import PredictionsWriter
from udaseg.recipe import HxW, Predict


def predict(
    model: Path,
    space: ClassSpace,
    target: ImageSet,
    size: HxW | None,
    settings: Predict,
    out: Path,
    *,
    pad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write `predictions.h5`: float16 logits [C, h, w] of every picture, seen at `size` (with `pad` at the
    largest size of its aspect within it), with its own size beside them.

    Several scales and the mirror image are averaged at the network's stride: `average=logits` stores their mean,
    `probs` the logarithm of the mean probabilities, whose upsampling is not quite the mean of the upsampled ones.
    With `adabn` the network first takes its batch norm's statistics from the pictures, at `size`.
    Pictures that are there already are not computed again. Returns the manifest's environment.
    """
    runner = Runner(model, space.classes, settings.precision)
    with PredictionsWriter(out, space.classes, runner.model.align_corners) as writer:
        todo = [i for i, record in enumerate(target.records) if not writer.holds(record.stem)]
        done = len(target) - len(todo)
        total = len(target)
        if settings.adabn and todo:
            done, total = done + len(target), 2 * len(target)
            read = None if progress is None else lambda count: progress(count, total)
            runner.adapt_statistics(target, len(target), size, settings.batch, pad, read)

        def infer(images: Sequence[np.ndarray], seen: HxW | None) -> np.ndarray:
            return runner.scores(images, seen, settings).half().cpu().numpy()

        for indices, images, logits_NCHW in runner.run(target, todo, size, settings.batch, infer, pad):
            for i, image, logits_CHW in zip(indices, images, logits_NCHW, strict=True):
                writer.put(target.records[i].stem, logits_CHW, *image.shape[:2])
            done += len(indices)
            if progress is not None:
                progress(done, total)
    return runner.environment
