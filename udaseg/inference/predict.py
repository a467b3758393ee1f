"""Compute the logits of a network for every target image, at the network's stride, and store them."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.config import HxW, Predict
from udaseg.data.image_sets import View
from udaseg.inference.predictions import PredictionsWriter
from udaseg.inference.runner import ImageBatch, Runner
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

    With `settings.store` "confidence" it holds the labels and confidences of these logits in their place.
    Several scales, the mirror image and windows are averaged at the network's stride (see `average_views` and
    `average_windows`). With `settings.adabn` the batch norm statistics are first adapted to the images. Images that
    are already in the file are not written again. Where images have been added or removed since, an image shares its
    batch with others than in a new run, and the last bits of its logits may differ. `progress` is called with (done,
    total), counted in passes over an image: one for each image, or two with `adabn`. Returns the description of the
    device for the manifest. Raises UdasegError where the model was trained on other classes than those of `space`.
    """
    runner, images = Runner(model, space.classes, settings.precision), target.images
    with PredictionsWriter(out, space.classes, runner.model.align_corners, settings.store) as writer:
        absent = {i for i, record in enumerate(images.records) if not writer.holds(record.stem)}
        missing = whole_batches(absent, len(images), settings.batch)
        done = len(images) - len(missing)
        total = len(images)
        processes.barrier()  # no process writes before all have read which images are missing
        if settings.adabn and missing:
            done, total = done + len(images), 2 * len(images)
            first_pass = None if progress is None else lambda count, _: progress(count, total)
            is_stem = settings.adabn == "stem"
            runner.adapt_statistics(target, settings.batch, first_pass, stem=is_stem, windows=settings)
        shard = processes.shard(missing, settings.batch)
        for part in compute_logits(runner, target, shard, settings):
            for i, image, logits_CHW in zip(part.indices, part.images, part.output, strict=True):
                if i in absent:
                    writer.put_logits(images.records[i].stem, logits_CHW, *image.shape[:2])
            done += len(part.indices) * processes.count()
            if progress is not None:
                progress(min(done, total), total)
    return runner.environment


def whole_batches(wanted: Collection[int], images: int, batch: int) -> list[int]:
    """Return the indices of the batches with a wanted image, as they are when all images from 0 on are seen.

    In another batch, the last bits of an image's logits may differ.
    """
    batches = (range(i, min(i + batch, images)) for i in range(0, images, batch))
    return [i for one in batches if any(i in wanted for i in one) for i in one]


def compute_logits(runner: Runner, target: View, indices: Sequence[int], settings: Predict) -> Iterator[ImageBatch]:
    """Yield the images at these indices, batch by batch, with their logits as `predict` stores them: float16."""

    def infer(images: Sequence[np.ndarray], size: HxW) -> np.ndarray:
        return runner.average_logits(images, size, settings).half().cpu().numpy()

    return runner.run(target, indices, settings.batch, infer, scales=settings.scales)
