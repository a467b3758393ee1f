"""The settings with which a recipe of full scale runs in seconds: an eighth of the size, two steps, two rounds."""

from typing import Any

from udaseg.config import Recipe
from udaseg.config.recipe import initial_weights

EIGHTH = 8
SIZES = ("size", "gt_size", "crop", "detail", "window", "window_stride")
# The most of each; epochs stay, and the lists that they draw are short.
LIMITS = {"steps": 2, "batch": 2, "accumulate": 2, "entropy_from": 1, "warmup_steps": 1, "rounds": 2}
TRAININGS = ("pretrain", "warmup", "retrain", "distill")


def shrink(recipe: Recipe, weights: str = "none") -> dict[str, Any]:
    """Return the settings to change, by their dotted keys; trainings that start from weights start from these.

    The areas of components follow the images where refine.scale_with_area is true.
    """
    ignored = {"toytown", "ablation", "chain"}
    changes = dict(_changes({k: v for k, v in recipe.read_settings().items() if k not in ignored}, ""))
    if not recipe.refine.scale_with_area:
        changes |= {f"refine.{base}": getattr(recipe.refine, base) // EIGHTH**2 for base in ("base0", "base1")}
    if recipe.retrain.rare is not None:
        changes["retrain.rare.pixels"] = recipe.retrain.rare.pixels // EIGHTH**2
    stages = [step.split("-")[0] for step in recipe.chain]
    changes |= {start.key: weights for start in (initial_weights(recipe, stage) for stage in stages) if start}
    return {key: value for key, value in changes.items() if _section(key) not in TRAININGS or _section(key) in stages}


def arguments(changes: dict[str, Any]) -> list[str]:
    """Return the words of a command that make changes."""
    return [word for key, value in changes.items() for word in ("--set", f"{key}={value}".replace(" ", ""))]


def _section(key: str) -> str:
    return key.split(".")[0]


def _shrink_source(source: dict[str, Any]) -> dict[str, Any]:
    """Return what one of several sources names, with an eighth of its size: --set gives the list as a whole."""
    named = {name: source[name] for name in ("dataset", "share") if source[name] is not None}
    return named | {"missing": list(source["missing"]), **dict(_changes(source, ""))}


def _changes(values: dict[str, Any], prefix: str):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _changes(value, f"{prefix}{name}.")
        elif isinstance(value, tuple) and name in SIZES:
            yield prefix + name, [side // EIGHTH for side in value]
        elif name == "sources":
            yield name, [_shrink_source(one) for one in value]
        elif name in LIMITS and value is not None and value > LIMITS[name]:
            yield prefix + name, LIMITS[name]
