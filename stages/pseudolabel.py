"""udaseg pseudolabel: labels for the target images, from the network's most confident predictions."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.pipeline.artifacts import Job

from . import made, products
from .options import refuse_unread
from .progress import passes, progress
from .session import Session, say, staged, working


def job(session: Session) -> Job:
    settings = {"pseudolabel": session.recipe.pseudolabel.model_dump(), "round": session.round}
    given = {"predictions": session.input(products.predictions_file(session))}
    if session.recipe.pseudolabel.policy == "cbst-sp":
        given["prior"] = session.input(products.prior_file(session))
    before = session.given("before")
    if before is None and session.round > 1:
        before = session.of_round(session.round - 1).folder("pseudolabel") / "thresholds.json"
    if before is not None:
        given["before"] = session.input(before)
    return Job("pseudolabel", session.out or session.folder("pseudolabel"), settings, given)


def run(session: Session) -> None:
    if session.given("predictions") is None:
        made.predict(session.inside())
    if session.recipe.pseudolabel.policy == "cbst-sp" and session.given("prior") is None:
        made.prior(session.inside())
    todo, settings = job(session), session.recipe.pseudolabel
    with working(session, todo, shared=True) as result:
        if result is None:
            return
        from udaseg.inference.predictions import Predictions
        from udaseg.labels import class_space
        from udaseg.pseudo.collapse import collapse_warnings
        from udaseg.pseudo.label import pseudolabel
        from udaseg.pseudo.label_files import read_thresholds
        from udaseg.statistics import spatial_prior

        paths = {name: Path(given.path) for name, given in todo.inputs.items()}
        with Predictions(paths["predictions"]) as predictions:
            names = predictions.classes
            products.require_scores(session, paths["predictions"], names)
            maps = spatial_prior.read(paths["prior"], names) if "prior" in paths else None
            before = read_thresholds(paths["before"], names) if "before" in paths else None
            with progress("pseudolabel", passes(twice=settings.policy != "iast")) as show:
                document = pseudolabel(
                    predictions, class_space(names), settings, todo.out, prior=maps, round=session.round, progress=show
                )
            images = len(predictions.stems)
        kept, predicted = sum(document.kept), max(1, sum(document.predicted))
        result.warnings += collapse_warnings(document, before)
        result.metrics = {"images": images, "kept": kept / predicted}
        say(f"pseudolabel: {kept / predicted:.1%} of the pixels of {images} images are in {todo.out / 'labels'}")


@staged
def command(
    open_session,
    policy: Annotated[
        str | None,
        typer.Option(help="st: one threshold; cbst: one a class; cbst-sp: with a spatial prior; iast: moving ones."),
    ] = None,
    p: Annotated[float | None, typer.Option("--p", help="The share of the pixels to keep, of each class.")] = None,
    p_step: Annotated[float | None, typer.Option(help="How much p grows in each further round.")] = None,
    p_max: Annotated[float | None, typer.Option(help="Where p stops growing.")] = None,
    stride: Annotated[int | None, typer.Option(help="Estimate thresholds from every n-th pixel of a class.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="A predictions.h5, with or without a run around it.")] = None,
    prior: Annotated[Path | None, typer.Option(help="The prior.h5 of cbst-sp.")] = None,
    before: Annotated[Path | None, typer.Option(help="The thresholds.json of the round before, to compare.")] = None,
) -> None:
    """Label the target images with the network's most confident predictions.

    Example: udaseg pseudolabel --policy cbst --p 0.2
    """
    changes = {"policy": policy, "p": p, "p_step": p_step, "p_max": p_max, "stride": stride}
    paths = {"predictions": predictions, "prior": prior, "before": before}
    session = open_session({f"pseudolabel.{key}": value for key, value in changes.items()}, paths)
    if session.recipe.pseudolabel.policy != "cbst-sp":
        refuse_unread({"--prior": prior}, "cbst-sp alone has a prior", "add --policy cbst-sp")
    run(session)
