"""udaseg retrain: train on the source and on the pseudo-labelled target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.config import Recipe, Retrain
from udaseg.config.recipe import foundation_weights
from udaseg.config.rounds import prediction_identity, prediction_of_round, steps_of_epochs, training_of_round
from udaseg.errors import join_names
from udaseg.pipeline import datasets
from udaseg.pipeline.common_inputs import (
    LABEL_SUFFIX,
    LABELS_HELP,
    flow_input,
    label_names,
    latest_model,
    prototypes_input,
    training_labels,
)
from udaseg.pipeline.inputs import input_path
from udaseg.pipeline.log import log
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Dataset, Input, Stage, dump_section
from udaseg.pipeline.work import Work
from udaseg.train.stage import (
    FLAGS,
    finish_training,
    foundation_hint,
    require_source_depth,
    source_view,
    style_warnings,
    stylized_source,
    weights_input,
    weights_path,
)

if TYPE_CHECKING:
    from udaseg.data.image_sets import View
    from udaseg.data.rare_classes import RareClasses


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    sections = {name: dump_section(recipe, name) for name in ("space", "model", "retrain")}
    identity = {}
    if starts_from_model(recipe) and recipe.retrain.uses_initial_model:
        identity = prediction_identity(recipe.predict, round)
        if identity["adabn"] and recipe.predict.size is not None:
            identity["size"] = recipe.predict.size  # of the images whose statistics the initial model gets
    if reads_target_depth(recipe):
        identity["target_depth"] = recipe.target.depth
    return {**sections, "round": round, **identity, **label_names(recipe)}


def starts_from_model(recipe: Recipe) -> bool:
    return recipe.retrain.init == "warmup"


def reads_labels(recipe: Recipe) -> bool:
    return recipe.retrain.reads_labels


def reads_source(recipe: Recipe) -> bool:
    return recipe.retrain.source != "none"


def reads_thresholds(recipe: Recipe) -> bool:
    return recipe.retrain.mine > 0 or recipe.retrain.regulariser == "lrent"


def reads_target_depth(recipe: Recipe) -> bool:
    return recipe.retrain.learns_target_depth and recipe.target.depth is not None


def moves_prototypes(recipe: Recipe) -> bool:
    return recipe.retrain.moves_prototypes


def labels_frame_before(recipe: Recipe) -> bool:
    return recipe.retrain.labels_frame_before


def draws_rare_classes(recipe: Recipe) -> bool:
    return recipe.retrain.rare is not None


def can_be_shared(recipe: Recipe) -> bool:
    return not recipe.retrain.needs_whole_batches


def foundation_file(recipe: Recipe, round: int) -> Path | None:
    with foundation_hint():
        return weights_path(foundation_weights(recipe, "retrain"))


def resolve(run: Run) -> Recipe:
    """Return the recipe with the number of steps in the place of epochs."""
    setting = training_of_round(run.recipe.retrain, run.round)
    if setting.epochs is None or setting.steps is not None:
        return run.recipe
    from udaseg.data.image_sets import subset_count
    from udaseg.pseudo.label_files import match_labels

    folder = input_path(run, LABELS) if reads_labels(run.recipe) else None
    stems = [record.stem for record in datasets.open_dataset(run, "target").records]
    images = len(stems if folder is None else match_labels(run, folder, stems).files)
    if setting.draw == "joint":
        images += subset_count(len(datasets.open_dataset(run, "source")), setting.source_fraction)
    steps = {"steps": steps_of_epochs(setting, images), "epochs": None}
    return run.recipe.model_copy(update={"retrain": run.recipe.retrain.model_copy(update=steps)})


def check(run: Run) -> None:
    """Raise UdasegError where the student learns depth and the source has none, or a map of the target is missing."""
    if run.recipe.retrain.depth is not None:
        require_source_depth(run, "retrain.depth=null")
    if reads_target_depth(run.recipe):
        datasets.open_dataset(run, datasets.TARGET_DEPTH)


def run(work: Work) -> None:
    """Train on the source and on the pseudo-labelled target."""
    from udaseg.data.target_depth import require_usable
    from udaseg.data.video.flows import open_flows
    from udaseg.pseudo.label_files import find_labels, open_labels, read_thresholds
    from udaseg.statistics.prototypes import read_prototypes_of
    from udaseg.train.retrain import InitialModel, PseudoLabels, retrain

    recipe, space, target = work.recipe, work.class_space(), work.view("target")
    setting, labels, initial = training_of_round(recipe.retrain, work.round), None, None
    if reads_labels(recipe):
        files = find_labels(work, [record.stem for record in target.images.records], space.classes)
        path, read_label = work.path("thresholds"), open_labels(files, space)
        labels = PseudoLabels(read_label, None if path is None else read_thresholds(path, space.classes), list(files))
    if starts_from_model(recipe):
        model, centroids = work.require_path("model"), None
        if moves_prototypes(recipe):
            centroids = read_prototypes_of(work.require_path("prototypes"), model, work.digest("model")).centroids
        predicted = replace(target, size=recipe.predict.size or recipe.target.size)
        initial = InitialModel(model, prediction_of_round(recipe.predict, work.round), predicted, centroids)
    source = source_view(work, setting.source)
    if setting.feature_distance is not None:
        things = setting.feature_distance.choose(space.classes)
        log(f"retrain: features stay near the pre-trained ones on {join_names(things, len(things))}")
    flows = open_flows(work.require_path("flow")) if labels_frame_before(recipe) else None
    depth = work.dataset(datasets.TARGET_DEPTH) if reads_target_depth(recipe) else None
    if depth is not None and work.is_first:
        require_usable(depth, work.progress("depth maps"))
    result = retrain(
        source,
        target,
        space.classes,
        recipe.model if setting.bn is None else recipe.model.model_copy(update={"bn": setting.bn}),
        setting,
        work.out,
        seed=work.seed,
        round=work.round,
        labels=labels,
        initial=initial,
        flows=flows,
        rare=None if source is None else rare_classes(work, source, setting),
        depth=depth,
        progress=work.progress("steps"),
    )
    result.warnings.extend(style_warnings(recipe, setting, work.job.stage))
    stems = {record.stem for record in target.images.records} if labels is None else {*labels.stems}
    count = len(stems if flows is None else stems.intersection(flows.previous))
    finish_training(work, setting, result, f"{count} target images")


def rare_classes(work: Work, source: View, setting: Retrain) -> RareClasses | None:
    """Return what rare class sampling draws from; log how often it draws each class, and warn where that is bad."""
    from udaseg.data.rare_classes import RareClasses, describe, sampling_warnings
    from udaseg.data.sources import Sources, subset
    from udaseg.statistics.class_counts import read_image_pixels

    if setting.rare is None:
        return None
    classes, part = source.images.space.classes, subset(source.images, setting.source_fraction, work.seed)
    stems = [record.stem for record in part.records]
    counts_NC = read_image_pixels(work.require_path("class_counts"), classes, stems)
    rare = RareClasses(counts_NC, setting.rare, part.shares if isinstance(part, Sources) else None)
    log(
        f"retrain: how often rare class sampling draws each class, of {len(part)} source images\n"
        f"{describe(rare, classes)}"
    )
    for warning in sampling_warnings(rare, classes):
        work.warn(warning)
    return rare


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
        weights_input("retrain"),
        Input("foundation_weights", foundation_file, required=False),
        Input(
            "thresholds",
            "pseudolabel/thresholds.json",
            "Their thresholds.json, for mining and lrent.",
            when=reads_thresholds,
            because="mining and lrent alone need it",
            hint="set retrain.mine=0.8",
            beside="labels",
        ),
        Input(
            "class_counts",
            "stats/stats.json",
            "A stats.json of the source, for rare class sampling.",
            when=draws_rare_classes,
            because="retrain.rare is off",
            hint="set retrain.rare={}",
            make=True,
        ),
        prototypes_input(
            moves_prototypes, "retrain.online.rectify and retrain.consistency alone move prototypes", "leave it out"
        ),
        flow_input(labels_frame_before, "the frame before is not labelled online", "set retrain.online.frame=previous"),
    ],
    datasets=[
        Dataset("target", section="retrain"),
        Dataset("source", when=reads_source, drawn=True),
        Dataset(datasets.TARGET_DEPTH, settings=None, when=reads_target_depth, section="retrain"),
    ],
    flags=(*FLAGS, LABEL_SUFFIX),
    each_round=True,
    shared=can_be_shared,
    seeded=True,
    trains=True,
    writes="as `warmup`",
    check=check,
    resolve=resolve,
    example="udaseg retrain --labels runs/demo/refine/labels",
)
