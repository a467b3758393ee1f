"""udaseg retrain: train on the source and on the pseudo-labelled target."""

from pathlib import Path
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
        "target": recipe.target.model_dump(include={"dataset", "split", "size", "limit"}),
        "model": recipe.model.model_dump(),
        "retrain": recipe.retrain.model_dump(),
        "round": session.round,
    }
    given = {"labels": session.input(inputs.label_folder(session))}  # first: what it lacks is said before data is made
    given["target"] = inputs.fingerprinted(inputs.target_images(session))
    if recipe.retrain.source != "none":
        given |= inputs.training_source(session, recipe.retrain.source)
    if recipe.retrain.init == "warmup":
        given["model"] = session.input(inputs.last_model(session))
    if recipe.retrain.mine or recipe.retrain.regulariser == "lrent":
        given["thresholds"] = session.input(inputs.thresholds_file(session))
    return Job("retrain", session.out or session.folder("retrain"), settings, given, recipe.seed)


def run(session: Session) -> None:
    recipe = session.recipe
    if recipe.retrain.source == "stylize":
        inputs.label_folder(session)  # what it lacks is said before anything is made
        made.stylize(session.inside())
    todo = job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.pseudo.labelling import read_thresholds
        from udaseg.pseudo.schedule import training_of_round
        from udaseg.train.retrain import retrain
        from udaseg.train.state import last_loss

        settings = training_of_round(recipe.retrain, session.round)
        source = None if settings.source == "none" else inputs.styled_source(session, settings.source)
        target = inputs.target_images(session)
        pseudo_label = inputs.pseudo_labels(session, inputs.label_folder(session), target)
        given = todo.inputs.get("thresholds")
        thresholds = None if given is None else read_thresholds(Path(given.path), inputs.space(session).classes)
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
                thresholds=thresholds,
                progress=show,
            )
        result.metrics = {"loss": last_loss(todo.out / "log.jsonl"), "pictures": len(target)}
        say(f"retrain: {settings.steps} steps on {len(target)} target pictures; the model is {todo.out / 'model.pt'}")


@staged
def command(
    open_session,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step, from each domain.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate of the backbone.")] = None,
    model: Annotated[Path | None, typer.Option(help="Start from this model.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The folder of pseudo-labels, <stem>.png.")] = None,
    thresholds: Annotated[Path | None, typer.Option(help="Their thresholds.json, for mining and lrent.")] = None,
) -> None:
    """Train on the source and on the pseudo-labelled target.

    Example: udaseg retrain --labels runs/demo/refine/labels
    """
    changes = {"retrain.steps": steps, "retrain.batch": batch, "retrain.lr": lr}
    run(open_session(changes, {"model": model, "labels": labels, "thresholds": thresholds}))
