"""udaseg evaluate: score a model on the labelled split of the target."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from udaseg.pipeline.artifacts import Job, read_manifest

from . import inputs, products, views
from .options import refuse_unread
from .progress import progress
from .session import Session, emit, say, staged, working
from .tables import depth_table, percent, read_metrics, scores_table

# The evaluations whose scores are shown beside those of a stage, the first that is there.
BEFORE = {"evaluate": ("evaluate-pretrain", "evaluate-warmup"), "evaluate-warmup": ("evaluate-pretrain",)}


def _model(session: Session) -> Path:
    """Find the model: where --model says, else the last of the trainings of the run, or the round, that is finished."""
    stages = ("retrain",) if session.round_asked else (products.adapted(session), "retrain")
    default = next((stage for stage in stages if read_manifest(session.folder(stage)) is not None), "warmup")
    return products.model_file(session, default, f"udaseg {default}")


def _folder(session: Session, model: Path) -> Path:
    """Name the stage after the model: evaluate for the adapted one, evaluate-warmup for the source-only one."""
    if session.out is not None:
        return session.out
    folder = model.resolve().parent
    if folder == session.folder("retrain").resolve() and session.round < session.recipe.rounds:
        return session.folder(f"evaluate-round{session.round}")
    if folder == session.folder(products.adapted(session)).resolve():
        return session.folder("evaluate")
    return session.folder(f"evaluate-{folder.name}")


def _in_round(session: Session) -> Session:
    """Give the session in the round that was asked for, else in the last."""
    return session if session.round_asked else session.of_round(session.recipe.rounds)


def job(session: Session) -> Job:
    session = _in_round(session)
    recipe, stored = session.recipe, products.given_predictions(session)
    if stored is not None:
        settings = {
            "space": recipe.space,
            "target": recipe.target.model_dump(include={"dataset", "val"}),
            "evaluate": {"average": recipe.evaluate.average},
        }
        out = session.out or session.folder(f"evaluate-{stored.resolve().parent.name}")
        given = {"predictions": session.input(stored), "val": inputs.fingerprinted(inputs.target_val(session))}
        return Job("evaluate", out, settings, given)
    model = _model(session)
    settings = {
        "space": recipe.space,
        "target": recipe.target.model_dump(include={"dataset", "val", "size", "pad"}),
        "evaluate": recipe.evaluate.model_dump(),
    }
    given = {"model": session.input(model), "val": inputs.fingerprinted(inputs.target_val(session))}
    out = _folder(session, model)
    return Job(out.name if session.out is None else "evaluate", out, settings, given)


def run(session: Session) -> None:
    recipe, todo = session.recipe, job(session)
    with working(session, todo, results=True, shared=True) as result:
        if result is not None:
            from udaseg.data.image_sets import View
            from udaseg.inference.evaluate import evaluate, evaluate_predictions

            images = inputs.target_val(session)
            with progress(todo.stage, "images") as show:
                if "predictions" in todo.inputs:
                    stored, average = Path(todo.inputs["predictions"].path), recipe.evaluate.average
                    metrics = evaluate_predictions(stored, images, average, todo.out, progress=show)
                else:
                    metrics, result.environment = evaluate(
                        Path(todo.inputs["model"].path),
                        View(images, recipe.evaluate.size or recipe.target.size, recipe.target.pad),
                        recipe.evaluate,
                        todo.out,
                        progress=show,
                    )
            result.metrics = {key: metrics[key] for key in ("miou", "pixel_accuracy", "images")}
    metrics = None if session.dry_run else read_metrics(todo.out)
    if metrics is not None:
        before = _before(session, todo)
        emit(session, metrics, scores_table(before, metrics), depth_table(before, metrics))
        of = todo.inputs["predictions" if "predictions" in todo.inputs else "model"].path
        say(f"{todo.stage}: mIoU {percent(metrics['miou'])} of {of}")


def _before(session: Session, todo: Job) -> dict[str, Any] | None:
    """Find the scores to show beside those of a model: of the same images, before the run came to it."""
    if "predictions" in todo.inputs:
        return None
    own = _folder(replace(_in_round(session), out=None), Path(todo.inputs["model"].path)).name
    for stage in BEFORE.get(own, ()):
        manifest = read_manifest(session.folder(stage))
        if manifest is None:
            continue
        if manifest["inputs"].get("val", {}).get("digest") == todo.inputs["val"].digest:
            return read_metrics(session.folder(stage))
        say(f"{todo.stage}: {session.folder(stage)} scores other images, or classes, and is not shown beside it")
    return None


@staged
def command(
    open_session,
    model: views.ModelOption = None,
    scales: views.ScalesOption = None,
    flip: views.FlipOption = None,
    average: views.AverageOption = None,
    predictions: Annotated[Path | None, typer.Option(help="Score these predictions instead of a model.")] = None,
) -> None:
    """Score a model, or stored predictions such as those of an ensemble, on the labelled split of the target.

    Example: udaseg evaluate --model warmup
    """
    if predictions is not None:
        why = "predictions have been made already"
        refuse_unread({"--model": model, "--scales": scales, "--flip": flip}, why, "leave it out, or --predictions")
    changes = views.changes("evaluate", scales, flip, average)
    run(open_session(changes, {"model": model, "predictions": predictions}))
