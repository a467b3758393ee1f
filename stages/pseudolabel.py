"""udaseg pseudolabel: labels for the target pictures, from the network's most confident predictions."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.artifacts import Job

from . import inputs, made
from .progress import progress
from .session import Session, say, staged, working


def job(session: Session) -> Job:
    settings = {"pseudolabel": session.recipe.pseudolabel.model_dump()}
    given = {"predictions": session.input(inputs.predictions_file(session))}
    return Job("pseudolabel", session.out or session.folder("pseudolabel"), settings, given)


def run(session: Session) -> None:
    if session.given("predictions") is None:
        made.predict(session.inside())
        if session.dry_run and not session.folder("predict").is_dir():
            say("pseudolabel: would run after predict")
            return
    todo, settings = job(session), session.recipe.pseudolabel
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.labels import class_space
        from udaseg.predictions import Predictions
        from udaseg.pseudo.pseudolabel import pseudolabel

        with Predictions(Path(todo.inputs["predictions"].path)) as predictions:
            with progress("pseudolabel", "pictures") as show:
                document = pseudolabel(predictions, class_space(predictions.classes), settings, todo.out, progress=show)
            pictures = len(predictions.stems)
        kept, predicted = sum(document["kept"]), sum(document["predicted"])
        for name, threshold, share in zip(
            document["classes"], document["threshold"], document["predicted"], strict=True
        ):
            if share == 0:
                result.warnings.append(f"{name} is never predicted: it gets no pseudo-label")
            elif threshold < 1 / len(document["classes"]):
                result.warnings.append(
                    f"{name}: the threshold {threshold:.3f} is below chance, 1/{len(document['classes'])}"
                )
        result.metrics = {"pictures": pictures, "kept": kept / predicted}
        say(f"pseudolabel: {kept / predicted:.1%} of the pixels of {pictures} pictures are in {todo.out / 'labels'}")


@staged
def command(
    open_session,
    policy: Annotated[str | None, typer.Option(help="st: one threshold; cbst: one a class.")] = None,
    p: Annotated[float | None, typer.Option("--p", help="The share of the pixels to keep, of each class.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="A predictions.h5, with or without a run around it.")] = None,
) -> None:
    """Label the target pictures with the network's most confident predictions.

    Example: udaseg pseudolabel --policy cbst --p 0.2
    """
    run(open_session({"pseudolabel.policy": policy, "pseudolabel.p": p}, {"predictions": predictions}))
