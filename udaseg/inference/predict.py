"""The scores of a network for every image of the target, stored at the network's stride."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.config import HxW, Predict
from udaseg.data.image_sets import ImageSet
from udaseg.inference.predictions import PredictionsWriter
from udaseg.inference.runner import Runner
from udaseg.labels import ClassSpace
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress


def predict(
    model: Path,
    space: ClassSpace,
    target: ImageSet,
    size: HxW | None,
    settings: Predict,
    out: Path,
    *,
    pad: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `predictions.h5`: float16 logits [C, h, w] of every image, seen at `size` (with `pad` at the
    largest size of its aspect within it), with its own size beside them.

    Several scales and the mirror image are averaged at the network's stride: `average=logits` stores their mean,
    `probs` the logarithm of the mean probabilities, whose upsampling is not quite the mean of the upsampled ones.
    With `adabn` the network first takes its batch norm's statistics from the images, at `size`.
    Batches that are there already are not computed again. `progress` gets (done, total) in passes over an image:
    one, or with `adabn` two. Returns the manifest's environment.
    """
    runner = Runner(model, space.classes, settings.precision)
    with PredictionsWriter(out, space.classes, runner.model.align_corners) as writer:
        # In the batches of a run left alone: other company gives an image other last bits.
        whole = (range(i, min(i + settings.batch, len(target))) for i in range(0, len(target), settings.batch))
        todo = [i for batch in whole if not all(writer.holds(target.records[i].stem) for i in batch) for i in batch]
        done = len(target) - len(todo)
        total = len(target)
        processes.barrier()  # all have looked before the first of them writes
        if settings.adabn and todo:
            done, total = done + len(target), 2 * len(target)
            read = None if progress is None else lambda count, _: progress(count, total)
            runner.adapt_statistics(target, len(target), size, settings.batch, pad, read, stem=settings.adabn == "stem")

        def infer(images: Sequence[np.ndarray], at: HxW) -> np.ndarray:
            return runner.scores(images, at, settings).half().cpu().numpy()

        own = processes.shard(todo, settings.batch)
        for seen in runner.run(target, own, size, settings.batch, infer, pad, scales=settings.scales):
            for i, image, logits_CHW in zip(seen.indices, seen.images, seen.output, strict=True):
                writer.put(target.records[i].stem, logits_CHW, *image.shape[:2])
            done += len(seen.indices) * processes.count()
            if progress is not None:
                progress(min(done, total), total)
    return runner.environment
