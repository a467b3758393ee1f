"""Read a recipe: the files that it is based on, layer over layer, then the changes, checked as a whole."""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from udaseg.config.explain import explain
from udaseg.config.presets import PRESETS
from udaseg.config.recipe import Recipe
from udaseg.config.sections.model import BY_ENCODER, BY_NAME
from udaseg.errors import UdasegError, did_you_mean
from udaseg.io.files import parse_yaml


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with udaseg: their names and files."""
    folder = Path(str(resources.files("udaseg.config"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(name: str, *, scale: str | None = None, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe, by its shipped name or from a YAML file, and check it.

    A recipe may name another as its `base` and give only what differs. `scale="toy"` lays its `toy` block over the
    rest. A recipe with `scale: toy` is always at toy scale; its own settings lie over the base's `toy` block.
    `changes` maps dotted keys (`warmup.steps`) to values and goes on top.
    Raises UdasegError for an unknown recipe, a file that is not YAML, an unknown key or a wrong value, and names the
    key.
    """
    layers, origin = _layers(name, ())
    own_scale = next((layer["scale"] for layer in reversed(layers) if "scale" in layer), "full")
    scale = scale or own_scale
    if scale == "toy" != own_scale and not any("toy" in layer for layer in layers):
        raise UdasegError(
            f"recipe {origin} has no toy scale",
            f"add a `toy:` block to it, or choose one of: {', '.join(_recipes_with_toy_scale())}",
        )
    values: dict[str, Any] = {}
    for layer in layers:
        values = _overlay_layer(values, {key: value for key, value in layer.items() if key != "toy"})
        if scale == "toy":
            values = _overlay_layer(values, layer.get("toy") or {})
    values |= {"name": layers[-1]["name"], "scale": scale}
    values = _overlay_layer(_preset(values.pop("geometry", None), origin), values)
    return _check(values, changes or {}, origin)


def resolve_recipe_name(name: str) -> str:
    """Return a name that finds the recipe from any directory: a shipped name, or the absolute path of a file."""
    return name if name in shipped_recipes() else str(Path(name).resolve())


def change_recipe(recipe: Recipe, changes: dict[str, Any], origin: str) -> Recipe:
    """Return a recipe with the settings at some dotted keys changed.

    `origin` names the recipe in errors. Raises UdasegError as `load_recipe` does.
    """
    return _check(recipe.read_settings(), changes, origin)


def overlay(base: dict, over: dict) -> dict:
    """Return a nested mapping laid over another one, key by key; lists and plain values are replaced whole."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = overlay(result[key], value) if both else value
    return result


def nest(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes of dotted keys as sections of a recipe."""
    layer: dict[str, Any] = {}
    for key, value in changes.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        layer = overlay(layer, value)
    return layer


def parse_change(text: str) -> tuple[str, Any]:
    """Split a change such as `warmup.steps=2000` into its dotted key and its YAML value.

    Raises UdasegError for a text without a key or with a value that is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UdasegError(f"--set {text!r} is not KEY=VALUE", "for example --set warmup.steps=2000")
    try:
        return key.strip(), parse_yaml(value)
    except ValueError as error:
        hint = "quote it for the shell: --set 'source.size=[128, 256]'"
        raise UdasegError(f"--set {text!r}: the value is not YAML ({error})", hint) from None


def suggest_recipe(name: str) -> str:
    """Return the hint for a mistyped recipe: the most similar shipped name, or all of them."""
    close = did_you_mean(name, shipped_recipes())
    return f"{close}`udaseg recipe list` shows all" if close else f"shipped recipes: {', '.join(shipped_recipes())}"


def _layers(name: str, descendants: tuple[str, ...]) -> tuple[list[dict[str, Any]], str]:
    """Read a recipe and those it is based on, the base first; return the name or path of the recipe too."""
    known = shipped_recipes()
    path = known.get(name) or Path(name)
    values = dict(_read_shipped(path) if name in known else _read(name, path))
    base = values.pop("base", None)
    origin = name if name in known else str(path)
    if base is None:
        return [values], origin
    beside = path.parent / str(base)
    base_name = str(beside) if beside.suffix and beside.is_file() else base
    if not isinstance(base_name, str) or base_name in (*descendants, name):
        raise UdasegError(f"recipe {path}: base: {base!r} is no other recipe", f"shipped: {', '.join(known)}")
    return [*_layers(base_name, (*descendants, name))[0], values], origin


@cache
def _read_shipped(path: Path) -> dict[str, Any]:
    """Read a recipe that others are based on, once: parsing YAML is most of the time that a recipe takes."""
    return _read(path.stem, path)


def _read(name: str, path: Path) -> dict[str, Any]:
    if name not in shipped_recipes() and path.suffix not in (".yaml", ".yml"):
        raise UdasegError(
            f"there is no recipe named {name!r}", f"{suggest_recipe(name)}; or give a .yaml file of your own"
        )
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UdasegError(
            f"cannot read recipe {path}: {problem}", "`udaseg recipe list` shows the shipped ones"
        ) from None
    except ValueError as error:
        hint = "correct that line; `udaseg recipe show demo` prints an example"
        raise UdasegError(f"recipe {path} is not YAML: {error}", hint) from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UdasegError(f"recipe {path} is not a mapping of sections", "`udaseg recipe show demo` prints an example")
    if not isinstance(values.get("toy", {}), dict):
        raise UdasegError(f"recipe {path}: toy: is not a mapping of sections", "write the settings below it, indented")
    return {"name": path.stem, **values}


def _preset(name: Any, origin: str) -> dict[str, Any]:
    if name is not None and name not in PRESETS:
        raise UdasegError(
            f"recipe {origin}: geometry: there is no preset {name!r}",
            f"{did_you_mean(str(name), PRESETS)}known: {', '.join(PRESETS)}",
        )
    return PRESETS.get(name, {})


def _recipes_with_toy_scale() -> list[str]:
    return [name for name, path in shipped_recipes().items() if "\ntoy:" in path.read_text(encoding="utf-8")]


def _overlay_layer(values: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """Lay a layer of settings over others; an encoder replaces a network's name there, and a name an encoder.

    Several sources replace the one source, with all its settings. Colours and a file of weights belong to an encoder:
    without others in the layer, another encoder has its own colours and ImageNet's weights.
    """
    over, under = layer.get("model"), values.get("model")
    if isinstance(over, dict) and isinstance(under, dict):
        other: tuple[str, ...] = ()
        if over.get("encoder") is not None and under.get("encoder") is None:
            other = (*BY_NAME, "color")  # an encoder has colours of its own
        elif "encoder" not in over and any(name in over for name in BY_NAME):
            other = (*BY_ENCODER, "color") if under.get("encoder") is not None else ()
        changed = {name for name in ("encoder", "backbone") if name in over and over[name] != under.get(name)}
        if (other or changed) and under.get("weights") not in (None, "imagenet", "none"):
            other += ("weights",)
        values = values | {"model": {name: value for name, value in under.items() if name not in other}}
    if layer.get("sources") is not None:
        values = {name: value for name, value in values.items() if name != "source"}
    return overlay(values, layer)


def _check(values: dict[str, Any], changes: dict[str, Any], origin: str) -> Recipe:
    for key, value in changes.items():
        if inner := [other for other in changes if other.startswith(f"{key}.") and not isinstance(value, dict)]:
            raise UdasegError(
                f"recipe {origin}: {key} is set to {value!r}, and {inner[0]} too", "leave one of them out"
            )
    merged = _overlay_layer(values, nest(changes))
    if merged.get("sources") is not None and "source" in merged:
        raise UdasegError(
            f"recipe {origin}: source and sources are both given",
            "leave source out; or, to train on one source, set sources=null",
        )
    try:
        return Recipe(**merged)
    except ValidationError as error:
        raise UdasegError(*explain(error, origin, {key: _look_up(values, key) for key in changes})) from None


def _look_up(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
