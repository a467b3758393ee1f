"""The shipped recipes, and how any recipe is read: layer over layer, checked whole."""

import re
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from udaseg.config import Recipe
from udaseg.config.presets import PRESETS
from udaseg.errors import UdasegError, did_you_mean
from udaseg.io.files import parse_yaml


def shipped_recipes() -> dict[str, Path]:
    """List the recipes that come with udaseg, by name."""
    folder = Path(str(resources.files("udaseg.config"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(name: str, *, scale: str | None = None, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe by its shipped name or from a YAML file.

    A recipe may name another as its `base` and give only what differs. `scale="toy"` lays its `toy` block over the
    rest; a recipe that says so itself lays its own settings over that of its base. `changes` maps dotted keys
    (`warmup.steps`) to values and goes on top.
    Raises UdasegError for an unknown recipe, a file that is not YAML, an unknown key or a value out of range, always
    naming the key.
    """
    layers, where = _layers(name, ())
    own = next((layer["scale"] for layer in reversed(layers) if "scale" in layer), "full")
    scale = scale or own
    if scale == "toy" != own and not any("toy" in layer for layer in layers):
        raise UdasegError(
            f"recipe {where} has no toy scale",
            f"add a `toy:` block to it, or choose one of: {', '.join(_with_toy())}",
        )
    values: dict[str, Any] = {}
    for layer in layers:
        values = merge(values, {key: value for key, value in layer.items() if key != "toy"})
        if scale == "toy":
            values = merge(values, layer.get("toy") or {})
    values |= {"name": layers[-1]["name"], "scale": scale}
    values = merge(_geometry(values.pop("geometry", None), where), values)
    return _checked(values, changes or {}, where)


def lasting_name(name: str) -> str:
    """Give the name by which a recipe is found again from any directory."""
    return name if name in shipped_recipes() else str(Path(name).resolve())


def change_recipe(recipe: Recipe, changes: dict[str, Any], where: str) -> Recipe:
    """Give a recipe with the settings at some dotted keys changed; raises UdasegError as `load_recipe` does."""
    return _checked(recipe.model_dump(), changes, where)


def _checked(values: dict[str, Any], changes: dict[str, Any], where: str) -> Recipe:
    for key, value in changes.items():
        if inner := [one for one in changes if one.startswith(f"{key}.") and not isinstance(value, dict)]:
            raise UdasegError(f"recipe {where}: {key} is set to {value!r}, and {inner[0]} too", "leave one of them out")
        values = merge(values, _nest(key, value))
    try:
        return Recipe(**values)
    except ValidationError as error:
        raise UdasegError(*_explain(error, where)) from None


def merge(base: dict, over: dict) -> dict:
    """Lay one nested mapping over another; lists and plain values are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def parse_change(text: str) -> tuple[str, Any]:
    """Split `warmup.steps=2000` into its dotted key and its YAML value."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UdasegError(f"--set {text!r} is not KEY=VALUE", "for example --set warmup.steps=2000")
    try:
        return key.strip(), parse_yaml(value)
    except ValueError as error:
        hint = "quote it for the shell: --set 'source.size=[128, 256]'"
        raise UdasegError(f"--set {text!r}: the value is not YAML ({error})", hint) from None


def _layers(name: str, seen: tuple[str, ...]) -> tuple[list[dict[str, Any]], str]:
    """Read a recipe and those it is based on, the base first; and say where it was found."""
    known = shipped_recipes()
    path = known.get(name) or Path(name)
    values = _read(name, path, known)
    base = values.pop("base", None)
    where = name if name in known else str(path)
    if base is None:
        return [values], where
    beside = path.parent / str(base)
    inherited = str(beside) if beside.suffix and beside.is_file() else base
    if not isinstance(inherited, str) or inherited in (*seen, name):
        raise UdasegError(f"recipe {path}: base: {base!r} is no other recipe", f"shipped: {', '.join(known)}")
    return [*_layers(inherited, (*seen, name))[0], values], where


def _read(name: str, path: Path, known: dict[str, Path]) -> dict[str, Any]:
    if name not in known and path.suffix not in (".yaml", ".yml"):
        raise UdasegError(
            f"there is no recipe named {name!r}", f"{suggest_recipe(name)}; or give a .yaml file of your own"
        )
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UdasegError(f"cannot read recipe {path}: {error}", "udaseg recipe list shows the shipped ones") from None
    except ValueError as error:
        hint = "mend that line; `udaseg recipe show demo` prints an example"
        raise UdasegError(f"recipe {path} is not YAML: {error}", hint) from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UdasegError(f"recipe {path} is not a mapping of sections", "udaseg recipe show demo prints an example")
    if not isinstance(values.get("toy", {}), dict):
        raise UdasegError(f"recipe {path}: toy: is not a mapping of sections", "write the settings below it, indented")
    return {"name": path.stem, **values}


def _geometry(name: Any, where: str) -> dict[str, Any]:
    if name is not None and name not in PRESETS:
        raise UdasegError(
            f"recipe {where}: geometry: there is no preset {name!r}",
            f"{did_you_mean(str(name), PRESETS)}known: {', '.join(PRESETS)}",
        )
    return PRESETS.get(name, {})


def _with_toy() -> list[str]:
    return [name for name, path in shipped_recipes().items() if "\ntoy:" in path.read_text(encoding="utf-8")]


def _nest(key: str, value: Any) -> dict:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def suggest_recipe(name: str) -> str:
    """Name the shipped recipe that a mistyped name meant, or all of them."""
    close = did_you_mean(name, shipped_recipes())
    return f"{close}`udaseg recipe list` shows all" if close else f"shipped recipes: {', '.join(shipped_recipes())}"


def _explain(error: ValidationError, where: str) -> tuple[str, str]:
    """Say everything that is wrong with a recipe; the hint is for the first of it."""
    wrong = [_explain_one(one) for one in error.errors()]
    if len(wrong) == 1:
        return f"recipe {where}: {wrong[0][0]}", wrong[0][1]
    return f"recipe {where} has {len(wrong)} errors:\n  " + "\n  ".join(what for what, _ in wrong), wrong[0][1]


def _explain_one(one: Any) -> tuple[str, str]:
    key = ".".join(str(part) for part in one["loc"])
    if one["type"] == "extra_forbidden":
        return f"unknown setting {key!r}", _known_there(one["loc"])
    if one["type"] == "value_error":
        name = ".NAME" if isinstance(one.get("input"), dict) else ""  # of a section, or of one setting
        return f"{key}: {one['ctx']['error']}", f"set it with --set {key}{name}=VALUE"
    if one["type"] == "string_pattern_mismatch":
        return f"{key}: expected the name of a directory, without / and without a dot in front", "give it another name"
    found, hint = one.get("input"), f"set it with --set {key}=VALUE"
    if one["type"] == "literal_error":
        hint = did_you_mean(str(found), re.findall(r"'([^']*)'", one["ctx"]["expected"])) + hint
    return f"{key}: {one['msg']} (found {found!r})", hint


def _known_there(path: tuple[Any, ...]) -> str:
    """Name the settings of a section, and what a mistyped one in it may have meant there or elsewhere."""
    section: Any = Recipe
    for part in path[:-1]:
        section = _section(section.model_fields[part])
    name = str(path[-1])
    known = f"known here: {', '.join(section.model_fields)}"
    if close := did_you_mean(name, section.model_fields):
        return close + known
    sections = {key: _section(field) for key, field in Recipe.model_fields.items()}
    elsewhere = [f"{key}.{name}" for key, one in sections.items() if name in getattr(one, "model_fields", ())]
    return f"did you mean {' or '.join(elsewhere)}? {known}" if elsewhere else known


def _section(field: Any) -> Any:
    inner = get_args(field.annotation)  # of `Toytown | None`, the former
    return inner[0] if inner else field.annotation
