"""Compute and store the logits of a network for every target image, at the network's stride."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.config import HxW, Predict
from udaseg.data.image_sets import View
from udaseg.inference.predictions import PredictionsWriter
from udaseg.inference.runner import Runner
from udaseg.labels import ClassSpace
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress


def predict(
    model: Path,
    space: ClassSpace,
    target: View,
    settings: Predict,
    out: Path,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `predictions.h5` in the folder `out`: float16 logits [C, h, w] of every target image, and the image's size.

    Several scales, the mirror image and windows are averaged at the network's stride (see `average_views` and
    `average_windows`). With `settings.adabn` the batch norm statistics are first adapted to the images. Images that
    are already in the file are not written again. Where images have been added or removed since, an image shares its
    batch with others than in a new run, and the last bits of its logits may differ. `progress` is called with (done,
    total), counted in passes over an image: one for each image, or two with `adabn`. Returns the description of the
    device for the manifest. Raises UdasegError where the model was trained on other classes than those of `space`.
    """
    runner, images = Runner(model, space.classes, settings.precision), target.images
    with PredictionsWriter(out, space.classes, runner.model.align_corners) as writer:
        # The batches of an uninterrupted run: in another batch, the last bits of an image's logits may differ.
        batches = (range(i, min(i + settings.batch, len(images))) for i in range(0, len(images), settings.batch))
        absent = {i for i, record in enumerate(images.records) if not writer.holds(record.stem)}
        unfinished = [batch for batch in batches if not absent.isdisjoint(batch)]
        missing = [i for batch in unfinished for i in batch]
        done = len(images) - len(missing)
        total = len(images)
        processes.barrier()  # no process writes before all have read which images are missing
        if settings.adabn and missing:
            done, total = done + len(images), 2 * len(images)
            first_pass = None if progress is None else lambda count, _: progress(count, total)
            is_stem = settings.adabn == "stem"
            runner.adapt_statistics(target, settings.batch, first_pass, stem=is_stem, windows=settings)

        def infer(images: Sequence[np.ndarray], size: HxW) -> np.ndarray:
            return runner.average_logits(images, size, settings).half().cpu().numpy()

        shard = processes.shard(missing, settings.batch)
        for part in runner.run(target, shard, settings.batch, infer, scales=settings.scales):
            for i, image, logits_CHW in zip(part.indices, part.images, part.output, strict=True):
                if i in absent:
                    writer.put(images.records[i].stem, logits_CHW, *image.shape[:2])
            done += len(part.indices) * processes.count()
            if progress is not None:
                progress(min(done, total), total)
    return runner.environment
