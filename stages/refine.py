"""udaseg refine: take out of the pseudo-labels what is likely wrong."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.config.rounds import prediction_identity, prediction_of_round
from udaseg.config.rules import require_consistent
from udaseg.pipeline.artifacts import Job

from . import inputs, made, products
from .options import refuse_unread
from .progress import progress
from .session import Session, say, staged, working


def _labels(session: Session) -> Path:
    return session.given("labels") or session.finished("pseudolabel", "udaseg pseudolabel") / "labels"


def job(session: Session) -> Job:
    recipe, settings = session.recipe, {"refine": session.recipe.refine.model_dump()}
    given = {
        "labels": session.input(_labels(session)),
        "predictions": session.input(products.predictions_file(session)),
    }
    if recipe.refine.aggregate:
        given["class counts"] = session.input(products.class_counts_file(session))
    if recipe.refine.prototypes:
        settings["target"] = inputs.seen(recipe.target)
        settings |= prediction_identity(recipe.predict, session.round)
        given["prototypes"] = session.input(products.prototypes_file(session))
        given["model"] = session.input(products.last_model(session))
        given["target"] = inputs.fingerprinted(inputs.target_images(session))
    return Job("refine", session.out or session.folder("refine"), settings, given)


def _prepare(session: Session) -> None:
    """Make what is missing, after a look at what can only be given."""
    settings = session.recipe.refine
    require_consistent(session.recipe, "refine")
    _labels(session), products.predictions_file(session)
    if settings.aggregate and session.given("class_counts") is None:
        made.stats(session.inside())
    if settings.prototypes:
        made.own_prototypes(session)


def run(session: Session) -> None:
    _prepare(session)
    settings, todo = session.recipe.refine, job(session)
    with working(session, todo, shared=True) as result:
        if result is None:
            return
        from udaseg.data.image_sets import View
        from udaseg.inference.predictions import Predictions
        from udaseg.labels import class_space
        from udaseg.pseudo.rectification import rectifier
        from udaseg.pseudo.refine import refine
        from udaseg.statistics.class_counts import read_pixels

        order = " after ".join(reversed(settings.steps))
        labels, pixels, rectify = Path(todo.inputs["labels"].path), None, None
        with Predictions(Path(todo.inputs["predictions"].path)) as predictions:
            space = class_space(predictions.classes)
            products.require_scores(session, predictions.path, space.classes)
            products.require_labels(session, labels, space.classes, predictions.stems)
            if "class counts" in todo.inputs:
                pixels = read_pixels(Path(todo.inputs["class counts"].path), space.classes)
            if "prototypes" in todo.inputs:
                model, recipe = todo.inputs["model"], session.recipe
                found = products.prototypes_of(model, todo.inputs["prototypes"])
                target = inputs.target_images(session)
                with progress("refine: batch norm", "images") as show:
                    rectify, result.environment = rectifier(
                        Path(model.path),
                        found,
                        predictions,
                        View(target, recipe.target.size, recipe.target.pad),
                        prediction_of_round(recipe.predict, session.round),
                        settings.temperature,
                        show,
                    )
            with progress("refine", "images") as show:
                document = refine(
                    labels,
                    predictions,
                    space,
                    settings,
                    todo.out,
                    source_pixels=pixels,
                    rectify=rectify,
                    batch=session.recipe.predict.batch,
                    progress=show,
                )
        before, after, flipped = map(sum, (document.before, document.after, document.flipped))
        for name, was, now in zip(document.classes, document.before, document.after, strict=True):
            if was and not now:
                result.warnings.append(f"no pseudo-label of {name} is left of {was} pixels")
        result.metrics = {"after": after, "before": before, "flipped": flipped}
        say(
            f"refine: {order}: {before} labelled pixels became {after} ({after / max(before, 1):.1%}), {flipped} of "
            f"them another class, in {todo.out / 'labels'}"
        )


@staged
def command(
    open_session,
    spatial_prior: Annotated[bool | None, typer.Option(help="Drop components that are too small.")] = None,
    prototypes: Annotated[bool | None, typer.Option(help="Decide anew by the distance to prototypes.")] = None,
    first: Annotated[str | None, typer.Option(help="Where both are chosen: prototypes, or aggregate.")] = None,
    pixels: Annotated[str | None, typer.Option(help="What prototypes decide on: labelled pixels, or all.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the softmax over the distances.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The folder of pseudo-labels, <stem>.png.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="The predictions.h5 they were made from.")] = None,
    model: Annotated[Path | None, typer.Option(help="The model that gives the features.")] = None,
    prototypes_file: Annotated[Path | None, typer.Option(help="The prototypes.h5 of that model.")] = None,
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
        "aggregate": spatial_prior,
        "prototypes": prototypes,
        "first": first,
        "pixels": pixels,
        "temperature": temperature,
        "confidence": confidence,
        "base0": base0,
        "base1": base1,
        "scale_with_area": scale_with_area,
    }
    paths = {"labels": labels, "predictions": predictions, "class_counts": class_counts, "model": model}
    paths |= {"prototypes": prototypes_file}
    session = open_session({f"refine.{key}": value for key, value in changes.items()}, paths)
    chosen = session.recipe.refine
    if not chosen.aggregate:
        refuse_unread({"--class-counts": class_counts}, "aggregation is not chosen", "add --spatial-prior")
    if not chosen.prototypes:
        refuse_unread(
            {"--prototypes-file": prototypes_file, "--model": model}, "prototypes are not chosen", "add --prototypes"
        )
    run(session)
