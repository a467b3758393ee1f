"""udaseg distill: train a fresh student on what the finished model says."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.config.rules import require_consistent
from udaseg.pipeline.artifacts import Job

from . import inputs, made, products, training
from .progress import progress
from .session import Session, staged, working


def job(session: Session) -> Job:
    recipe = session.recipe
    require_consistent(recipe, "distill")
    settings = {
        "space": recipe.space,
        "source": inputs.seen(recipe.source),
        "target": inputs.seen(recipe.target),
        "model": recipe.model.model_dump(),
        "distill": recipe.distill.model_dump(),
    }
    given = {"model": session.input(_finished(session)), "target": inputs.fingerprinted(inputs.target_images(session))}
    given |= training.first_weights(session, recipe.distill.weights or recipe.model.weights)
    if recipe.distill.source != "none":
        given |= inputs.training_source(session, recipe.distill.source)
    return Job("distill", session.out or session.folder("distill"), settings, given, recipe.seed)


def _finished(session: Session) -> Path:
    """Find the model to learn from: where --model says, else the retrained one of the round asked for, or the last."""
    whose = session if session.round_asked else session.of_round(session.recipe.rounds)
    return products.model_file(whose, "retrain", "udaseg retrain")


def run(session: Session) -> None:
    recipe = session.recipe
    require_consistent(recipe, "distill")
    if recipe.distill.source == "stylize":
        _finished(session)  # what it lacks is said before anything is made
        made.stylize(session.inside())
    todo = job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.data.image_sets import View
        from udaseg.train.distill import distill

        settings = recipe.distill
        source = None
        if settings.source != "none":
            source = View(inputs.styled_source(session, settings.source), recipe.source.size, recipe.source.pad)
        target = inputs.target_images(session)
        with progress("distill", "steps") as show:
            trained = distill(
                source,
                View(target, recipe.target.size, recipe.target.pad),
                inputs.space(session).classes,
                Path(todo.inputs["model"].path),
                recipe.model,
                settings,
                todo.out,
                seed=recipe.seed,
                progress=show,
            )
        result.environment = trained.environment
        result.warnings += trained.warnings
        training.adapt_statistics(session, todo, settings, target)
        training.ended(todo, result, settings.steps, len(target), "target images")


@staged
def command(
    open_session,
    steps: training.StepsOption = None,
    batch: training.BatchOption = None,
    lr: training.LrOption = None,
    model: Annotated[Path | None, typer.Option(help="Learn from this model, of any architecture.")] = None,
) -> None:
    """Train a fresh network on the source and on what the finished model says of the target.

    Example: udaseg distill --model runs/demo/retrain/model.pt --set model.name=bisenet
    """
    changes = training.changes("distill", steps, batch, lr)
    run(open_session(changes, {"model": model}))
