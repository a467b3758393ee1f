"""udaseg refine: remove from the pseudo-labels what is likely wrong."""

from contextlib import nullcontext
from typing import Any

from udaseg.config import Recipe
from udaseg.config.rounds import prediction_identity, prediction_of_round
from udaseg.pipeline.common_inputs import (
    LABEL_SUFFIX,
    LABELS_HELP,
    STORE,
    flow_input,
    label_names,
    latest_model,
    predictions_input,
    prototypes_input,
    stores_nothing,
)
from udaseg.pipeline.stage import Dataset, Input, Stage
from udaseg.pipeline.work import Work


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    identity = prediction_identity(recipe.predict, round) if uses_prototypes(recipe) else {}
    return {"refine": recipe.refine.identity(), **identity, **label_names(recipe)}


def uses_prototypes(recipe: Recipe) -> bool:
    return recipe.refine.prototypes


def uses_flow(recipe: Recipe) -> bool:
    return recipe.refine.uses_flow


def reads_target(recipe: Recipe) -> bool:
    return uses_prototypes(recipe) or stores_nothing(recipe)  # without predictions, for the names of its images


def aggregates(recipe: Recipe) -> bool:
    return recipe.refine.aggregate


def run(work: Work) -> None:
    """Remove from the pseudo-labels what is likely wrong."""
    from udaseg.data.video.flows import open_flows
    from udaseg.inference.predictions import Predictions
    from udaseg.labels import class_space
    from udaseg.pseudo.label_files import find_labels, require_same
    from udaseg.pseudo.rectification import rectifier
    from udaseg.pseudo.refine import refine
    from udaseg.pseudo.temporal import FrameBefore
    from udaseg.statistics.class_counts import read_pixels
    from udaseg.statistics.prototypes import read_prototypes_of

    setting, pixels, rectify = work.recipe.refine, None, None
    before = None
    path = work.path("predictions")
    with nullcontext() if path is None else Predictions(path) as predictions:
        if predictions is None:
            space, stems = work.class_space(), [record.stem for record in work.view("target").images.records]
        else:
            space, stems = class_space(predictions.classes), predictions.stems
            if work.run.out is None:  # elsewhere the predictions stand on their own
                require_same(path, space.classes, work.class_space().classes, work.other_classes_hint())
        labels = find_labels(work, stems, space.classes)
        if aggregates(work.recipe):
            pixels = read_pixels(work.require_path("class_counts"), space.classes)
        if uses_prototypes(work.recipe):
            model = work.require_path("model")
            rectify, work.result.environment = rectifier(
                model,
                read_prototypes_of(work.require_path("prototypes"), model, work.digest("model")),
                predictions,
                work.view("target"),
                prediction_of_round(work.recipe.predict, work.round),
                setting.temperature,
                work.progress("images", "refine: batch norm"),
                alone=setting.decide == "nearest",
            )
        if uses_flow(work.recipe):
            before = FrameBefore(open_flows(work.require_path("flow")), predictions, labels, space)
        summary = refine(
            labels,
            predictions,
            space,
            setting,
            work.out,
            source_pixels=pixels,
            rectify=rectify,
            before=before,
            batch=work.recipe.predict.batch,
            progress=work.progress("images"),
        )
    before, after, flipped = (sum(counts) for counts in (summary.before, summary.after, summary.flipped))
    warnings = [
        f"no pseudo-label of {name} is left of {old} pixels"
        for name, old, new in zip(summary.classes, summary.before, summary.after, strict=True)
        if old and not new
    ]
    order = " after ".join(reversed(setting.steps))
    text = (
        f"{order}: {before} labelled pixels became {after} ({after / max(before, 1):.1%}), {flipped} of them another "
        f"class, in {work.job.out / 'labels'}"
    )
    work.finish({"after": after, "before": before, "flipped": flipped}, text, warnings)


stage = Stage(
    "refine",
    run,
    settings,
    inputs=[
        Input("labels", "pseudolabel/labels", LABELS_HELP),
        predictions_input("The predictions.h5 they were made from."),
        Input(
            "class_counts",
            "stats/stats.json",
            "A stats.json of the source.",
            when=aggregates,
            because="spatial aggregation is not chosen",
            hint="add --spatial-prior",
            make=True,
        ),
        Input(
            "model",
            latest_model,
            "The model that gives the features.",
            when=uses_prototypes,
            because="prototypes are not chosen",
            hint="add --prototypes",
        ),
        prototypes_input(uses_prototypes, "prototypes are not chosen", "add --prototypes"),
        flow_input(uses_flow, "no label follows the optical flow", "add --temporal or --carry"),
    ],
    datasets=[Dataset("target", when=reads_target, section="predict")],
    flags=[
        ("aggregate", "--spatial-prior"), "prototypes", "temporal", "carry", "first", "pixels", "temperature",
        "confidence", "base0", "base1", "scale_with_area", LABEL_SUFFIX, STORE,
    ],
    each_round=True,
    shared=True,
    command="refine --spatial-prior",
    writes="`labels/<stem>.png`, `refine.json`",
    example="udaseg refine --spatial-prior --confidence 0.9",
)  # fmt: skip
