"""udaseg retrain: train on the source and on the pseudo-labelled target."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.artifacts import Job

from . import inputs
from .progress import progress
from .session import Session, say, staged, working


def job(session: Session) -> Job:
    recipe = session.recipe
    settings = {
        "space": recipe.space,
        "source": recipe.source.model_dump(include={"dataset", "split", "size", "limit"}),
        "target": recipe.target.model_dump(include={"dataset", "split", "size", "limit"}),
        "model": recipe.model.model_dump(),
        "retrain": recipe.retrain.model_dump(),
    }
    given = {
        "target": inputs.fingerprinted(inputs.target_images(session)),
        "labels": session.input(inputs.label_folder(session)),
    }
    if recipe.retrain.source != "none":
        given |= inputs.training_source(session, recipe.retrain.source)
    if recipe.retrain.init == "warmup":
        given["model"] = session.input(inputs.model_file(session, "warmup", "udaseg warmup"))
    return Job("retrain", session.out or session.folder("retrain"), settings, given, recipe.seed)


def run(session: Session) -> None:
    recipe, todo = session.recipe, job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.train.training import retrain

        settings = recipe.retrain
        source = None if settings.source == "none" else inputs.styled_source(session, settings.source)
        target = inputs.target_images(session)
        pseudo_label = inputs.pseudo_labels(session, inputs.label_folder(session), target)
        with progress("retrain", "steps") as show:
            result.environment = retrain(
                source,
                recipe.source.size,
                target,
                pseudo_label,
                recipe.target.size,
                inputs.space(session),
                Path(todo.inputs["model"].path) if "model" in todo.inputs else None,
                recipe.model,
                settings,
                todo.out,
                seed=recipe.seed,
                progress=show,
            )
        say(f"retrain: {settings.steps} steps on {len(target)} target pictures; the model is {todo.out / 'model.pt'}")


@staged
def command(
    open_session,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step, from each domain.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate of the backbone.")] = None,
    model: Annotated[Path | None, typer.Option(help="Start from this model.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The folder of pseudo-labels, <stem>.png.")] = None,
) -> None:
    """Train on the source and on the pseudo-labelled target.

    Example: udaseg retrain --labels runs/demo/refine/labels
    """
    changes = {"retrain.steps": steps, "retrain.batch": batch, "retrain.lr": lr}
    run(open_session(changes, {"model": model, "labels": labels}))
