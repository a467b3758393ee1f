"""udaseg warmup: train on the labelled source."""

from typing import Annotated

import typer

from udaseg.artifacts import Job

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
    return Job("warmup", session.out or session.folder("warmup"), settings, given, recipe.seed)


def run(session: Session) -> None:
    recipe = session.recipe
    if recipe.warmup.source == "stylize":
        made.stylize(session.inside())
    todo = job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.train.state import last_loss
        from udaseg.train.training import warmup

        source = inputs.styled_source(session, recipe.warmup.source)
        with progress("warmup", "steps") as show:
            result.environment = warmup(
                source, recipe.source.size, recipe.model, recipe.warmup, todo.out, seed=recipe.seed, progress=show
            )
        result.metrics = {"loss": last_loss(todo.out / "log.jsonl"), "pictures": len(source)}
        say(f"warmup: {recipe.warmup.steps} steps on {len(source)} pictures; the model is {todo.out / 'model.pt'}")


@staged
def command(
    open_session,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate of the backbone.")] = None,
) -> None:
    """Train a network on the labelled source.

    Example: udaseg warmup --recipe gta2city --steps 20000
    """
    run(open_session({"warmup.steps": steps, "warmup.batch": batch, "warmup.lr": lr}))
