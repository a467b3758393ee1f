"""The sections of a recipe that a dataset belongs to, and the settings that a stage's result depends on."""

from typing import Any

from udaseg.config import HxW, Recipe, Source, Target
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Dataset, Stage


def sections(recipe: Recipe, name: str) -> dict[str, Source | Target]:
    """Return the section of the recipe that a dataset belongs to, or those of several sources, by names of inputs."""
    if name != "source":
        return {name: recipe.target}
    if recipe.sources is None:
        return {name: recipe.source}
    return {f"source {one}": section for one, section in recipe.all_sources.items()}


def stage_settings(recipe: Recipe, stage: Stage, round: int) -> dict[str, Any]:
    """Return the settings that the result of a stage depends on: its own, and those of the datasets that it reads."""
    settings = stage.resolve_settings(recipe, round)
    for dataset in stage.datasets:
        if dataset.is_read(recipe):
            settings |= dataset_settings(recipe, dataset)
    return settings


def dataset_settings(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Return the settings of a dataset that the result of a stage depends on, in sections."""
    if dataset.settings is None:
        return {}
    if dataset.name != "source" or recipe.sources is None:
        [section] = sections(recipe, dataset.name).values()
        return {dataset.name: _settings(section, dataset, dataset.size(recipe))}
    several = recipe.all_sources.items()
    return {"sources": {name: _settings(section, dataset, section.size) for name, section in several}}


def _settings(section: Source | Target, dataset: Dataset, size: HxW | None) -> dict[str, Any]:
    selection = {"dataset", "split", "list", "limit"} | ({"share", "missing"} if dataset.drawn else set())
    settings = section.model_dump(include=selection)
    return settings | {"size": size, "pad": section.pad} if dataset.settings == "images" else settings


def size_in_stage(run: Run, stage: str, name: str) -> HxW | None:
    """Return the height and width at which a stage sees the images of a dataset."""
    declared = [one for one in run.stages[stage].datasets if one.name == name] if stage in run.stages else []
    return (declared[0] if declared else Dataset(name)).size(run.recipe)
