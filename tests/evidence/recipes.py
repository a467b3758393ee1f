"""The recipe of a row on a pair: settings for the pair's data and sizes, a file, problems, and a digest."""

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from udaseg.config import Recipe
from udaseg.config.load import load_recipe, nest
from udaseg.config.rules import contradictions, require_read
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.pipeline import chain
from udaseg.pipeline.dataset_settings import stage_settings
from udaseg.pipeline.run import Run
from udaseg.stages.cli import STAGES

from .definitions import Pair, Row, Table

SIZE, CROP = (128, 256), (96, 192)  # of toy recipes, in the place of which a pair has its own
# The settings that are sizes of crops, or of windows that the network sees one by one.
SIZES = (
    *(f"{stage}.augment.crop" for stage in ("pretrain", "warmup", "retrain", "distill")), "model.detail",
    *(f"{stage}.{name}" for stage in ("predict", "evaluate") for name in ("window", "window_stride")),
)  # fmt: skip
DIGITS = 12  # of a digest


class RowRecipe(NamedTuple):
    """The recipe of a row, the one that it is based on, and the settings that make it of that.

    `named` are those of them that the row and its table name, and no change of all rows.
    """

    recipe: Recipe
    base: str
    settings: dict[str, Any]
    named: dict[str, Any]


def row_recipe(row: Row, table: Table, pair: Pair, changes: Mapping[str, Any], data: Path | None = None) -> RowRecipe:
    """Return the recipe of a row of a table on a pair, at toy scale; `changes` lie over all but the row's own settings.

    A change in a section that the recipe does not have, such as `pretrain`, is left out.

    `data` is the directory with the pair's folder datasets. Raises UdasegError for a setting that is wrong.
    """
    changes = {key: value for key, value in changes.items() if key not in row.settings}
    shared = {key: value for key, value in table.settings.items() if key not in changes}
    named = {**shared, **row.settings}
    plain = load_recipe(row.recipe, scale="toy", changes=named)
    settings = named | {"chain": [stage for stage in plain.chain if stage != "report"]}
    settings |= _pair_settings(plain, pair, data)
    if row.learns_target:
        settings["source"] = deepcopy(settings["target"])
    settings |= {key: value for key, value in changes.items() if _has_section(plain, key)}
    return RowRecipe(load_recipe(row.recipe, scale="toy", changes=settings), row.recipe, settings, named)


def _pair_settings(recipe: Recipe, pair: Pair, data: Path | None) -> dict[str, Any]:
    """Return the pair's domains, classes and sizes, in the place of those that a toy recipe has."""
    times = recipe.target.size[0] // SIZE[0]  # as large as the images of other recipes
    settings: dict[str, Any] = {"space": pair.space}
    for name, domain in (("source", pair.source), ("target", pair.target)):
        settings[name] = dict(domain) | {"size": [times * side for side in domain["size"]]}
    if not pair.is_rendered:
        settings |= {"toytown": None} | ({} if data is None else {"data": str(data)})
    elif pair.roots and data is not None:  # beside a domain that is rendered, and so elsewhere
        for domain in (settings[name] for name in ("source", "target")):
            if "root" in domain:
                domain["root"] = str(data.resolve() / domain["root"])
    sizes = {key: _scale(size, pair) for key in SIZES if (size := _size(recipe, key)) is not None}
    if pair.source["size"] != pair.target["size"]:  # a batch of both needs one size, which whole images do not have
        for stage in ("retrain", "distill"):
            if _size(recipe, f"{stage}.augment.crop") is None and getattr(recipe, stage).source != "none":
                sizes[f"{stage}.augment.crop"] = [times * side for side in pair.crop]
    return settings | {key: size for key, size in sizes.items() if size != _size(recipe, key)}


def _has_section(recipe: Recipe, key: str) -> bool:
    return "." not in key or _value(recipe, key.rpartition(".")[0]) is not None


def _size(recipe: Recipe, key: str) -> list[int] | None:
    """Return a size in a recipe by its dotted key; None where the recipe has none."""
    size = _value(recipe, key)
    return None if size is None else list(size)


def _value(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def _scale(size: list[int], pair: Pair) -> list[int]:
    """Return the size of a crop or a window on a pair, for that of a toy recipe."""
    return [side * own // crop for side, own, crop in zip(size, pair.crop, CROP, strict=True)]


def write_recipe(path: Path, recipe: RowRecipe) -> None:
    """Write the recipe of a row as a file that `udaseg run` takes."""
    text = yaml.safe_dump({"base": recipe.base, "scale": "toy", **nest(recipe.settings)}, sort_keys=False)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def problems(row: RowRecipe) -> list[str]:
    """Return what `udaseg recipe check` says of a recipe without a look at its data: order, contradictions, readers."""
    recipe = row.recipe
    run = Run(recipe, Path(recipe.name), {}, STAGES)
    found = chain.gaps(run)
    steps = chain.steps(run)
    for stage in dict.fromkeys(step.stage.name for step in steps):
        found += [error.message for error in contradictions(recipe, stage)]
    if not any(step.stage.name == chain.EVALUATE for step in steps):
        found.append("its chain evaluates nothing")
    try:
        require_read({key: key for key in row.named}, [recipe])
    except UdasegError as error:
        found.append(error.message)
    return found


def digest(recipe: Recipe) -> str:
    """Return the digest of all settings on which the results of a recipe's stages depend, whatever the seed and data.

    Settings that no stage of its chain reads do not count, and neither do those that change no result.
    """
    stages = []
    for step in chain.steps(Run(recipe, Path(recipe.name), {}, STAGES)):
        adapted = recipe if step.stage.adapt is None else step.stage.adapt(recipe)
        number = step.run.round if step.stage.each_round else recipe.rounds
        stages.append([step.label, stage_settings(adapted, step.stage, number)])
    world = None if recipe.toytown is None else recipe.toytown.model_dump()
    values = json.dumps({"stages": stages, "toytown": world}, sort_keys=True)
    return hashlib.sha256(values.encode()).hexdigest()[:DIGITS]
