"""udaseg prototypes: compute the mean feature of every class."""

from dataclasses import replace
from typing import Any

from udaseg.config import Recipe
from udaseg.config.rounds import prediction_identity, prediction_of_round
from udaseg.pipeline.common_inputs import (
    LABEL_SUFFIX,
    LABELS_HELP,
    MODEL_HELP,
    label_names,
    latest_model,
    prototype_labels,
)
from udaseg.pipeline.stage import Dataset, Input, Stage, dump_section
from udaseg.pipeline.work import Work


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    sections = {name: dump_section(recipe, name) for name in ("space", "prototypes")}
    return sections | prediction_identity(recipe.predict, round) | label_names(recipe)


def reads_source(recipe: Recipe) -> bool:
    return recipe.prototypes.domain != "target"


def reads_target(recipe: Recipe) -> bool:
    return recipe.prototypes.domain != "source"


def run(work: Work) -> None:
    """Compute the mean feature of every class."""
    from udaseg.data.sources import split_view
    from udaseg.pseudo.label_files import find_labels, open_labels
    from udaseg.statistics.prototypes import gather, write

    parts, setting = [], prediction_of_round(work.recipe.predict, work.round)
    if reads_source(work.recipe):
        parts += [(view, view.images.label) for view in split_view(work.view("source")).values()]
    if reads_target(work.recipe):
        target, space = work.view("target"), work.class_space()
        files = find_labels(work, [record.stem for record in target.images.records], space.classes)
        stems, read_label = list(files), open_labels(files, space)
        parts.append((replace(target, images=target.images.choose(stems)), lambda i: read_label(stems[i])))
    model, progress = work.require_path("model"), work.progress("passes" if setting.adabn else "images")
    prototypes, work.result.environment = gather(
        model,
        work.class_space(),
        parts,
        setting,
        digest=work.digest("model"),
        correct=work.recipe.prototypes.correct,
        progress=progress,
    )
    if not work.is_first:
        return
    write(work.out / "prototypes.h5", prototypes)
    absent = [name for name, count in zip(prototypes.classes, prototypes.counts, strict=True) if count == 0]
    if absent:
        work.warn(f"no pixel of {', '.join(absent)}: these classes have no prototype")
    classes = int((prototypes.counts > 0).sum())
    metrics = {"features": int(prototypes.counts.sum()), "classes": classes}
    work.finish(metrics, f"{classes} classes in {work.job.out / 'prototypes.h5'}")


stage = Stage(
    "prototypes",
    run,
    settings,
    inputs=[
        Input("model", latest_model, MODEL_HELP),
        Input(
            "labels",
            prototype_labels,
            LABELS_HELP,
            when=reads_target,
            because="the source has labels of its own",
            hint="add --domain target, or both",
        ),
    ],
    datasets=[Dataset("source", when=reads_source), Dataset("target", when=reads_target, section="predict")],
    flags=["domain", LABEL_SUFFIX],
    each_round=True,
    shared=True,
    writes="`prototypes.h5`: the mean feature of each class",
    example="udaseg prototypes --domain source",
)
