"""udaseg refine: take out of the pseudo-labels what is likely wrong."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.artifacts import Job
from udaseg.errors import UdasegError
from udaseg.files import read_json

from . import inputs, made
from .progress import progress
from .session import Session, say, staged, working


def _class_counts(session: Session) -> Path:
    """Find the pixel counts of the source classes: where --class-counts says, else in the run's stats."""
    return session.given("class_counts") or session.folder("stats") / "stats.json"


def _labels(session: Session) -> Path:
    return session.given("labels") or session.finished("pseudolabel", "udaseg pseudolabel") / "labels"


def job(session: Session) -> Job:
    inputs_ = {
        "labels": session.input(_labels(session)),
        "predictions": session.input(inputs.predictions_file(session)),
        "class counts": session.input(_class_counts(session)),
    }
    return Job(
        "refine", session.out or session.folder("refine"), {"refine": session.recipe.refine.model_dump()}, inputs_
    )


def run(session: Session) -> None:
    settings = session.recipe.refine
    if not settings.spatial_prior:
        raise UdasegError(
            "refine has nothing to do: no refinement is chosen", "add --spatial-prior, or set refine.spatial_prior=true"
        )
    if session.given("class_counts") is None:
        _labels(session), inputs.predictions_file(session)  # what these lack is said before anything is made
        made.stats(session.inside())
    todo = job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.labels import class_space
        from udaseg.predictions import Predictions
        from udaseg.refine.refine import refine

        with Predictions(Path(todo.inputs["predictions"].path)) as predictions:
            space = class_space(predictions.classes)
            pixels = _pixels(Path(todo.inputs["class counts"].path), space.classes)
            with progress("refine", "pictures") as show:
                labels = Path(todo.inputs["labels"].path)
                document = refine(labels, predictions, space, pixels, settings, todo.out, progress=show)
        before, after = sum(document["before"]), sum(document["after"])
        for name, was, now in zip(document["classes"], document["before"], document["after"], strict=True):
            if was and not now:
                result.warnings.append(f"no pseudo-label of {name} is left of {was} pixels")
        result.metrics = {"before": before, "after": after}
        say(f"refine: {after / max(before, 1):.1%} of the labelled pixels are kept, in {todo.out / 'labels'}")


def _pixels(path: Path, classes: tuple[str, ...]) -> list[int]:
    stats = read_json(path)
    if stats is None or stats.get("classes") != list(classes) or len(stats.get("pixels", [])) != len(classes):
        found = "no file" if stats is None else f"classes {stats.get('classes')}"
        raise UdasegError(
            f"{path}: expected the pixel counts of {', '.join(classes)}; found {found}",
            "udaseg data stats writes them for the classes of a recipe",
        )
    return stats["pixels"]


@staged
def command(
    open_session,
    spatial_prior: Annotated[bool | None, typer.Option(help="Drop components that are too small.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The folder of pseudo-labels, <stem>.png.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="The predictions.h5 they were made from.")] = None,
    class_counts: Annotated[Path | None, typer.Option(help="A stats.json of the source.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Drop labels of less confident pixels first.")] = None,
    base0: Annotated[int | None, typer.Option(help="Pixels a component of the rarest class needs.")] = None,
    base1: Annotated[int | None, typer.Option(help="Pixels more that one of the commonest needs.")] = None,
    scale_with_area: Annotated[bool | None, typer.Option(help="Scale both by the area over 1280x760.")] = None,
) -> None:
    """Take out of the pseudo-labels what is likely wrong.

    Example: udaseg refine --spatial-prior --confidence 0.9
    """
    changes = {
        "refine.spatial_prior": spatial_prior,
        "refine.confidence": confidence,
        "refine.base0": base0,
        "refine.base1": base1,
        "refine.scale_with_area": scale_with_area,
    }
    run(open_session(changes, {"labels": labels, "predictions": predictions, "class_counts": class_counts}))
