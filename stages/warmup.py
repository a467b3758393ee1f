"""udaseg warmup: train on the labelled source, and align the target with it where the recipe has an adversary."""

from dataclasses import replace
from functools import partial
from typing import Any

from udaseg.config import Recipe, Warmup
from udaseg.config.recipe import pretrain_recipe
from udaseg.pipeline.datasets import teaching_warnings
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Dataset, Input, Stage
from udaseg.pipeline.work import Work
from udaseg.train.stage import (
    FLAGS,
    finish_training,
    require_source_depth,
    source_view,
    style_warnings,
    stylized_source,
    weights_input,
)


def settings(recipe: Recipe, round: int, *, phase: str) -> dict[str, Any]:
    sections: dict[str, Any] = {"space": recipe.space, "model": recipe.model.identity()}
    sections[phase] = recipe.warmup.identity()
    if recipe.adversary.align != "none":
        sections["adversary"] = recipe.adversary.identity()
    if recipe.model.heads:
        sections["depth"] = recipe.depth.model_dump()
    return sections


def has_pretrain(recipe: Recipe) -> bool:
    return recipe.pretrain is not None


def has_density(recipe: Recipe) -> bool:
    return "density" in recipe.model.heads


def counts_classes(recipe: Recipe) -> bool:
    return recipe.warmup.class_weights or recipe.warmup.class_balanced


def reads_target(recipe: Recipe) -> bool:
    setting = recipe.warmup
    aligns = recipe.adversary.align != "none" or has_density(recipe)
    uses = setting.saves_target_statistics, setting.entropy_weight is not None, setting.fda is not None
    return aligns or any(uses)


def check(run: Run) -> None:
    """Raise UdasegError where the network learns depth and the source has none."""
    if run.recipe.model.heads:
        require_source_depth(run, "model.heads=[]")


def run(work: Work) -> None:
    """Train a network on the labelled source; align the target with it where the recipe has an adversary."""
    from udaseg.data.sampling import ClassBalance
    from udaseg.data.sources import Sources
    from udaseg.statistics import gmm
    from udaseg.statistics.class_counts import class_weights, read_image_pixels, read_pixels, read_shown
    from udaseg.statistics.density_maps import DensityMaps
    from udaseg.train.adversary import training_warnings
    from udaseg.train.warmup import warmup

    recipe, setting = work.recipe, work.recipe.warmup
    source = source_view(work, setting.source)
    assert source is not None
    classes, weights, balance, densities = source.images.space.classes, None, None, None
    shares = source.images.shares if isinstance(source.images, Sources) else None
    stems = [record.stem for record in source.images.records]
    if setting.class_weights and shares is None:
        weights = class_weights(read_pixels(work.require_path("class_counts"), classes))
    elif setting.class_weights:
        weights = class_weights(shares.pool(read_image_pixels(work.require_path("class_counts"), classes, stems)))
    if setting.class_balanced:
        balance = ClassBalance(read_shown(work.require_path("class_counts"), classes, stems), shares)
    if has_density(recipe):
        densities = DensityMaps(gmm.read(work.require_path("gmm"), classes))
    pretrained = work.path("pretrain")
    result = warmup(
        source,
        work.view("target") if reads_target(recipe) else None,
        recipe.model if pretrained is None else recipe.model.model_copy(update={"weights": str(pretrained)}),
        setting,
        work.out,
        seed=work.seed,
        adversary=recipe.adversary,
        depth=recipe.depth,
        densities=densities,
        class_weights=weights,
        class_balance=balance,
        progress=work.progress("steps"),
    )
    if not work.is_first:
        return
    warnings = [*result.warnings, *style_warnings(recipe, setting, work.job.stage)]
    warnings += [*entropy_warnings(setting, work.job.stage), *teaching_warnings(work.run)]
    result = result._replace(warnings=warnings)
    if recipe.adversary.align != "none":
        result = result._replace(warnings=[*result.warnings, *training_warnings(work.out / "log.jsonl")])
    finish_training(work, setting, result, f"{len(source.images)} images")


def entropy_warnings(setting: Warmup, phase: str) -> list[str]:
    """Warn where the penalty on entropy would begin after the last step."""
    if setting.entropy_weight is None or setting.entropy_from < setting.steps:
        return []
    return [f"{phase}.entropy_from={setting.entropy_from}: no entropy was penalised in {setting.steps} steps"]


declared = Stage(
    "warmup",
    run,
    partial(settings, phase="warmup"),
    inputs=[
        stylized_source("warmup"),
        Input("pretrain", "pretrain/model.pt", when=has_pretrain, make=True),
        weights_input("warmup"),
        Input(
            "gmm",
            "gmm/gmm.h5",
            "The gmm.h5 that the density head learns from.",
            when=has_density,
            because="the network estimates no density",
            hint="set model.heads=[depth,density]",
            make=True,
        ),
        Input(
            "class_counts",
            "stats/stats.json",
            "A stats.json of the source, for class weights.",
            when=counts_classes,
            because="warmup.class_weights and warmup.class_balanced are off",
            hint="set warmup.class_weights=true",
            make=True,
        ),
    ],
    datasets=[Dataset("source", drawn=True), Dataset("target", when=reads_target)],
    flags=FLAGS,
    shared=True,
    seeded=True,
    trains=True,
    check=check,
    writes="`model.pt`, `state.pt`, `log.jsonl`",
    example="udaseg warmup --recipe gta2city --steps 20000",
)


def run_pretrain(work: Work) -> None:
    """Train the phase before the warm-up, on the source alone."""
    run(work)


pretrain = replace(
    declared,
    name="pretrain",
    run=run_pretrain,
    settings=partial(settings, phase="pretrain"),
    adapt=pretrain_recipe,
    command="warmup --pretrain",
)
stage = replace(declared, phases={"pretrain": pretrain})
