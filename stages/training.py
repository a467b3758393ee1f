"""What the trainings share: their flags, and how they end."""

from pathlib import Path
from typing import Annotated, Any

import typer

from udaseg.config import Training
from udaseg.errors import UdasegError
from udaseg.pipeline.artifacts import Input, Job, Result

from .progress import progress
from .session import Session, say

StepsOption = Annotated[int | None, typer.Option("--steps", help="Training steps.")]
BatchOption = Annotated[int | None, typer.Option("--batch", help="Images a step, from each domain.")]
LrOption = Annotated[float | None, typer.Option("--lr", help="The learning rate of the backbone.")]


def changes(section: str, steps: int | None, batch: int | None, lr: float | None) -> dict[str, Any]:
    """Turn the flags into changes of a recipe's section."""
    return {f"{section}.steps": steps, f"{section}.batch": batch, f"{section}.lr": lr}


def first_weights(session: Session, weights: str) -> dict[str, Input]:
    """Name the file of weights that a network begins with; nothing where it begins with ImageNet's or without any."""
    if weights in ("imagenet", "none"):
        return {}
    if not Path(weights).is_file():
        raise UdasegError(f"there is no weights file {weights}", "give imagenet, none, or the path of a file")
    return {"weights": session.input(Path(weights))}


def adapt_statistics(session: Session, job: Job, settings: Training, target) -> None:
    """Give the model that a training has written batch norm's statistics of the target, where it is to have them."""
    if not settings.adabn:
        return
    from udaseg.data.image_sets import View
    from udaseg.inference import adabn

    given = session.recipe.target
    target = target if session.sample is None else session.sample.images(target)
    view = View(target, given.size, given.pad)
    with progress(f"{job.stage}: batch norm", "images") as show:
        adabn.estimate_target_statistics(job.out / "model.pt", view, settings, progress=show)


def ended(job: Job, result: Result, steps: int, count: int, images: str) -> None:
    """Note and say how a training of `steps` steps on `count` of these `images` ended."""
    from udaseg.train.state import last_loss

    result.metrics = {**last_loss(job.out / "log.jsonl"), "images": count}
    loss = f", the last loss is {result.metrics['loss']:.3g}" if "loss" in result.metrics else ""
    say(f"{job.stage}: {steps} steps on {count} {images}{loss}; the model is {job.out / 'model.pt'}")
