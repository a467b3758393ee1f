"""udaseg retrain: train on the source and on the pseudo-labelled target."""

from pathlib import Path
from typing import Any

from udaseg.config import Recipe
from udaseg.config.rounds import prediction_identity, prediction_of_round, steps_of_epochs, training_of_round
from udaseg.errors import join_names
from udaseg.pipeline import datasets
from udaseg.pipeline.common_inputs import LABELS_HELP, latest_model, prototypes_input, training_labels
from udaseg.pipeline.inputs import input_path
from udaseg.pipeline.log import log
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Dataset, Input, Stage, StageFile, dump_section
from udaseg.pipeline.work import Work
from udaseg.train.stage import FLAGS, finish_training, foundation_hint, source_view, stylized_source, weights_file


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    sections = {name: dump_section(recipe, name) for name in ("space", "model", "retrain")}
    identity = {}
    if starts_from_model(recipe) and recipe.retrain.uses_initial_model:
        identity = prediction_identity(recipe.predict, round)
    return {**sections, "round": round, **identity}


def starts_from_model(recipe: Recipe) -> bool:
    return recipe.retrain.init == "warmup"


def reads_labels(recipe: Recipe) -> bool:
    return recipe.retrain.reads_labels


def reads_source(recipe: Recipe) -> bool:
    return recipe.retrain.source != "none"


def reads_thresholds(recipe: Recipe) -> bool:
    return recipe.retrain.mine > 0 or recipe.retrain.regulariser == "lrent"


def moves_prototypes(recipe: Recipe) -> bool:
    return recipe.retrain.moves_prototypes


def can_be_shared(recipe: Recipe) -> bool:
    return not recipe.retrain.needs_whole_batches


def first_weights(recipe: Recipe, round: int) -> StageFile | Path | None:
    has_no_use = starts_from_model(recipe) and recipe.retrain.feature_distance is None
    return None if has_no_use else weights_file(recipe.model.weights)


def foundation_weights(recipe: Recipe, round: int) -> StageFile | Path | None:
    foundation = recipe.retrain.foundation
    with foundation_hint():
        return None if foundation is None else weights_file(foundation.weights)


def resolve(run: Run) -> Recipe:
    """Return the recipe with the number of steps in the place of epochs."""
    setting = training_of_round(run.recipe.retrain, run.round)
    if setting.epochs is None or setting.steps is not None:
        return run.recipe
    from udaseg.data.batches import subset_count
    from udaseg.pseudo.label_files import stems_with_label

    folder = input_path(run, LABELS) if reads_labels(run.recipe) else None
    stems = [record.stem for record in datasets.open_dataset(run, "target").records]
    images = len(stems if folder is None else stems_with_label(folder, stems))
    if setting.draw == "joint":
        images += subset_count(len(datasets.open_dataset(run, "source")), setting.source_fraction)
    steps = {"steps": steps_of_epochs(setting, images), "epochs": None}
    return run.recipe.model_copy(update={"retrain": run.recipe.retrain.model_copy(update=steps)})


def run(work: Work) -> None:
    """Train on the source and on the pseudo-labelled target."""
    from udaseg.pseudo.label_files import labelled_stems, open_labels, read_thresholds
    from udaseg.statistics.prototypes import read_prototypes_of
    from udaseg.train.retrain import InitialModel, PseudoLabels, retrain

    recipe, space, target = work.recipe, work.class_space(), work.view("target")
    setting, labels, initial = training_of_round(recipe.retrain, work.round), None, None
    if reads_labels(recipe):
        stems = labelled_stems(work, [record.stem for record in target.images.records], space.classes)
        path, read_label = work.path("thresholds"), open_labels(work.require_path("labels"), space)
        labels = PseudoLabels(read_label, None if path is None else read_thresholds(path, space.classes), stems)
    if starts_from_model(recipe):
        model, centroids = work.require_path("model"), None
        if moves_prototypes(recipe):
            centroids = read_prototypes_of(work.require_path("prototypes"), model, work.digest("model")).centroids
        initial = InitialModel(model, prediction_of_round(recipe.predict, work.round), centroids)
    if setting.feature_distance is not None:
        things = setting.feature_distance.choose(space.classes)
        log(f"retrain: features stay near the pre-trained ones on {join_names(things, len(things))}")
    result = retrain(
        source_view(work, setting.source),
        target,
        space.classes,
        recipe.model if setting.bn is None else recipe.model.model_copy(update={"bn": setting.bn}),
        setting,
        work.out,
        seed=work.seed,
        round=work.round,
        labels=labels,
        initial=initial,
        progress=work.progress("steps"),
    )
    count = len(target.images if labels is None else labels.stems)
    finish_training(work, setting, result, f"{count} target images")


LABELS = Input(
    "labels",
    training_labels,
    LABELS_HELP,
    when=reads_labels,
    because="retrain.labels is none, or retrain.online labels all pixels anew",
    hint="set retrain.labels=pseudolabel, or retrain.online.pixels=unlabelled",
)
stage = Stage(
    "retrain",
    run,
    settings,
    inputs=[
        LABELS,
        stylized_source("retrain"),
        Input(
            "model",
            latest_model,
            "Start from this model.",
            when=starts_from_model,
            because="retrain.init is weights",
            hint="set retrain.init=warmup",
        ),
        Input("weights", first_weights),
        Input("foundation_weights", foundation_weights),
        Input(
            "thresholds",
            "pseudolabel/thresholds.json",
            "Their thresholds.json, for mining and lrent.",
            when=reads_thresholds,
            because="mining and lrent alone need it",
            hint="set retrain.mine=0.8",
            beside="labels",
        ),
        prototypes_input(
            moves_prototypes, "retrain.online.rectify and retrain.consistency alone move prototypes", "leave it out"
        ),
    ],
    datasets=[Dataset("target"), Dataset("source", when=reads_source)],
    flags=FLAGS,
    each_round=True,
    shared=can_be_shared,
    seeded=True,
    trains=True,
    writes="as `warmup`",
    resolve=resolve,
    example="udaseg retrain --labels runs/demo/refine/labels",
)
