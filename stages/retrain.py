"""udaseg retrain: train on the source and on the pseudo-labelled target."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.config.rounds import prediction_identity, prediction_of_round, training_of_round
from udaseg.config.rules import require_consistent
from udaseg.parallel import processes
from udaseg.pipeline.artifacts import Job

from . import inputs, made, products, training
from .options import refuse_unread
from .progress import progress
from .session import Session, staged, working


def job(session: Session) -> Job:
    recipe = session.recipe
    require_consistent(recipe, "retrain")
    settings = {
        "space": recipe.space,
        "source": inputs.seen(recipe.source),
        "target": inputs.seen(recipe.target),
        "model": recipe.model.model_dump(),
        "retrain": recipe.retrain.model_dump(),
        "round": session.round,
    }
    given = {}
    if recipe.retrain.reads_labels:  # first: what they lack is said before data is made
        given["labels"] = session.input(products.label_folder(session))
    given["target"] = inputs.fingerprinted(inputs.target_images(session))
    if recipe.retrain.source != "none":
        given |= inputs.training_source(session, recipe.retrain.source)
    if recipe.retrain.init == "warmup":
        given["model"] = session.input(products.last_model(session))
    else:
        given |= training.first_weights(session, recipe.model.weights)
    if recipe.retrain.mine or recipe.retrain.regulariser == "lrent":
        given["thresholds"] = session.input(products.thresholds_file(session))
    if recipe.retrain.moves_prototypes:
        given["prototypes"] = session.input(products.prototypes_file(session))
    if "model" in given and recipe.retrain.uses_initial_model:
        settings |= prediction_identity(recipe.predict, session.round)
    return Job("retrain", session.out or session.folder("retrain"), settings, given, recipe.seed)


def run(session: Session) -> None:
    recipe = session.recipe
    require_consistent(recipe, "retrain")
    if recipe.retrain.reads_labels:
        products.label_folder(session)  # what it lacks is said before anything is made
    if recipe.retrain.source == "stylize":
        made.stylize(session.inside())
    if recipe.retrain.moves_prototypes:
        made.own_prototypes(session)
    todo = job(session)
    with working(session, todo, shared=not recipe.retrain.needs_whole_batches) as result:
        if result is None:
            return
        from udaseg.data.image_sets import View
        from udaseg.pseudo.label_files import read_thresholds
        from udaseg.train.retrain import InitialModel, PseudoLabels, retrain

        settings = training_of_round(recipe.retrain, session.round)
        source = labels = initial = centroids = None
        if settings.source != "none":
            source = View(inputs.styled_source(session, settings.source), recipe.source.size, recipe.source.pad)
        target, classes = inputs.target_images(session), inputs.space(session).classes
        given = todo.inputs.get("thresholds")
        thresholds = None if given is None else read_thresholds(Path(given.path), classes)
        if "labels" in todo.inputs:
            read = products.pseudo_labels(session, Path(todo.inputs["labels"].path), target)
            labels = PseudoLabels(read, thresholds)
        if "prototypes" in todo.inputs:
            centroids = products.prototypes_of(todo.inputs["model"], todo.inputs["prototypes"]).centroids
        if "model" in todo.inputs:
            predict = prediction_of_round(recipe.predict, session.round)
            initial = InitialModel(Path(todo.inputs["model"].path), predict, centroids)
        with progress("retrain", "steps") as show:
            trained = retrain(
                source,
                View(target, recipe.target.size, recipe.target.pad),
                classes,
                recipe.model if settings.bn is None else recipe.model.model_copy(update={"bn": settings.bn}),
                settings,
                todo.out,
                seed=recipe.seed,
                round=session.round,
                labels=labels,
                initial=initial,
                progress=show,
            )
        result.environment = trained.environment
        result.warnings += trained.warnings
        if not processes.is_first():
            return
        training.adapt_statistics(session, todo, settings, target)
        training.ended(todo, result, settings.steps, len(target), "target images")


@staged
def command(
    open_session,
    steps: training.StepsOption = None,
    batch: training.BatchOption = None,
    lr: training.LrOption = None,
    model: Annotated[Path | None, typer.Option(help="Start from this model.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The folder of pseudo-labels, <stem>.png.")] = None,
    prototypes_file: Annotated[Path | None, typer.Option(help="The prototypes.h5 of the model to start from.")] = None,
    thresholds: Annotated[Path | None, typer.Option(help="Their thresholds.json, for mining and lrent.")] = None,
) -> None:
    """Train on the source and on the pseudo-labelled target.

    Example: udaseg retrain --labels runs/demo/refine/labels
    """
    changes = training.changes("retrain", steps, batch, lr)
    paths = {"model": model, "labels": labels, "prototypes": prototypes_file, "thresholds": thresholds}
    session = open_session(changes, paths)
    settings = session.recipe.retrain
    if settings.labels == "none":
        refuse_unread({"--labels": labels}, "retrain.labels is none", "set retrain.labels=pseudolabel")
    elif not settings.reads_labels:
        why, hint = "retrain.online labels all pixels anew", "set retrain.online.pixels=unlabelled, or labelled"
        refuse_unread({"--labels": labels}, why, hint)
    if settings.init != "warmup":
        refuse_unread({"--model": model}, f"retrain.init is {settings.init}", "set retrain.init=warmup")
    if not (settings.mine or settings.regulariser == "lrent"):
        refuse_unread({"--thresholds": thresholds}, "mining and lrent alone need it", "set retrain.mine=0.8")
    if not settings.moves_prototypes:
        why = "retrain.online.rectify and retrain.consistency alone move prototypes"
        refuse_unread({"--prototypes-file": prototypes_file}, why, "leave it out")
    run(session)
