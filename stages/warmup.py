"""udaseg warmup: train on the labelled source, and align the target where the recipe has an adversary."""

from typing import Annotated

import typer

from udaseg.artifacts import Job
from udaseg.errors import UdasegError
from udaseg.recipe import Recipe

from . import inputs, made
from .progress import progress
from .session import Session, say, staged, working


def job(session: Session) -> Job:
    recipe = session.recipe
    settings = {
        "space": recipe.space,
        "source": recipe.source.model_dump(include={"dataset", "split", "size", "limit"}),
        "model": recipe.model.model_dump(),
        "warmup": recipe.warmup.model_dump(),
    }
    given = inputs.training_source(session, recipe.warmup.source)
    if recipe.adversary.align != "none":
        settings["adversary"] = recipe.adversary.model_dump()
    if _reads_target(recipe):
        settings["target"] = recipe.target.model_dump(include={"dataset", "split", "size", "limit"})
        given["target"] = inputs.fingerprinted(inputs.target_images(session))
    return Job("warmup", session.out or session.folder("warmup"), settings, given, recipe.seed)


def _reads_target(recipe: Recipe) -> bool:
    """Tell whether the recipe's warm-up looks at target pictures."""
    settings = recipe.warmup
    if settings.fda is not None and settings.source == "stylize":
        raise UdasegError(
            "warmup.fda gives every draw of the source a style, and warmup.source=stylize has given it one already",
            "set warmup.source=source, or warmup.fda=null",
        )
    return recipe.adversary.align != "none" or settings.entropy_weight is not None or settings.fda is not None


def run(session: Session) -> None:
    recipe = session.recipe
    reads_target = _reads_target(recipe)
    if recipe.warmup.source == "stylize":
        made.stylize(session.inside())
    todo = job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.stylize import restyling
        from udaseg.train import adversary
        from udaseg.train.state import last_loss
        from udaseg.train.warmup import warmup

        target = inputs.target_images(session) if reads_target else None
        beta = recipe.warmup.fda
        source = inputs.styled_source(session, recipe.warmup.source)
        with progress("warmup", "steps") as show:
            result.environment = warmup(
                source,
                recipe.source.size,
                recipe.model,
                recipe.warmup,
                todo.out,
                seed=recipe.seed,
                restyle=None if beta is None else restyling(target, beta),
                adversary=recipe.adversary,
                target=target,
                target_size=recipe.target.size,
                progress=show,
            )
        if recipe.adversary.align != "none":
            result.warnings += adversary.doubts(todo.out / "log.jsonl")
        result.metrics = {"loss": last_loss(todo.out / "log.jsonl"), "pictures": len(source)}
        say(f"warmup: {recipe.warmup.steps} steps on {len(source)} pictures; the model is {todo.out / 'model.pt'}")


@staged
def command(
    open_session,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate of the backbone.")] = None,
) -> None:
    """Train a network on the labelled source; align the target with it where the recipe has an adversary.

    Example: udaseg warmup --recipe gta2city --steps 20000
    """
    run(open_session({"warmup.steps": steps, "warmup.batch": batch, "warmup.lr": lr}))
