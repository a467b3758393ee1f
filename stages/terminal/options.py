"""The options that several commands take, and options made from the fields of a recipe."""

import types
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from udaseg.config import LONGEST, Recipe, Section
from udaseg.config.load import shipped_recipes
from udaseg.errors import UdasegError
from udaseg.pipeline.loose_images import OWN

Checked = TypeVar("Checked", bound=Section)


def complete_shipped_recipe(incomplete: str) -> list[str]:
    """Complete the name of a shipped recipe."""
    return [name for name in shipped_recipes() if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Complete the name of a recipe: a shipped one, or a file."""
    folder = Path(incomplete[: incomplete.rfind("/") + 1])
    names = complete_shipped_recipe(incomplete)
    with suppress(OSError):
        files = (folder / path.name for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix == ".yaml")
        names += [name for name in map(str, files) if name.startswith(incomplete)]
    return names


RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", "-r", help="A shipped recipe or a file; default: demo.", autocompletion=complete_recipe),
]
ScaleOption = Annotated[str | None, typer.Option("--scale", help="full, or toy: the recipe's small twin on toytown.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Change one setting: warmup.steps=2000.")]
RunOption = Annotated[Path | None, typer.Option("--run", envvar="UDASEG_RUN", help="The run; default: runs/RECIPE.")]
DataOption = Annotated[str | None, typer.Option("--data", help="The directory that holds the datasets.")]
ListOption = Annotated[str | None, typer.Option(help="A text file that names the target images to use.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="The seed of everything random.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write here instead of RUN/STAGE.")]
RoundOption = Annotated[int | None, typer.Option("--round", min=1, help="Which of the recipe's rounds, from 1.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Run even when up to date.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")]
EstimateOption = Annotated[bool, typer.Option("--estimate", help="Say how long it would take, and how much disk.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ModelOption = Annotated[Path | None, typer.Option(help="A model.pt, a stage directory, or a stage of the run.")]
ScalesOption = Annotated[str | None, typer.Option("--scales", help="Average over these scales: 0.9,1.0,1.2.")]
FlipOption = Annotated[bool | None, typer.Option("--flip/--no-flip", help="Average with the mirror image.")]
AverageOption = Annotated[str | None, typer.Option("--average", help="What is averaged: logits, or probs.")]
WindowOption = Annotated[str | None, typer.Option("--window", help="See images in windows of HEIGHTxWIDTH.")]
WindowStrideOption = Annotated[
    str | None, typer.Option("--window-stride", help="HEIGHTxWIDTH from a window to the next; default: half a window.")
]
# Of the commands that take a model and images of no dataset.
ModelArgument = Annotated[Path, typer.Argument(help="A model.pt, or the directory of the stage that trained it.")]
ImageSizeOption = Annotated[
    str | None, typer.Option("--size", help="See images at HEIGHTxWIDTH, or own; default: as in training.")
]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="auto, fp32 or bf16.")]
PadOption = Annotated[bool | None, typer.Option("--pad/--no-pad", help="Keep the aspect of images in --size.")]

SHARED = {
    "recipe_name": RecipeOption,
    "scale": ScaleOption,
    "set_": SetOption,
    "run": RunOption,
    "data": DataOption,
    "target_list": ListOption,
    "seed": SeedOption,
    "round_": RoundOption,
    "out": OutOption,
    "force": ForceOption,
    "dry_run": DryOption,
    "estimate": EstimateOption,
    "as_json": JsonOption,
}
SWITCHES = (ForceOption, DryOption, EstimateOption, JsonOption)
# The panels of a command's help, after the one with its own options.
for _panel, _names in (
    ("Recipe", ("recipe_name", "scale", "set_", "data", "target_list", "seed")),
    ("Run", ("run", "round_", "out", "force", "dry_run", "estimate", "as_json")),
):
    for _name in _names:
        get_args(SHARED[_name])[1].rich_help_panel = _panel


def setting_option(key: str, flag: str | None = None, model: type[BaseModel] = Recipe) -> tuple[str, Any]:
    """Return the flag and the annotated type of an option that changes a setting of the recipe, by its dotted key.

    Type and help come from the setting's field; lists are written with commas, sizes as HEIGHTxWIDTH. `model` is the
    section of a command that reads no recipe; its defaults are shown, which no recipe changes.
    """
    field = _field(key, model)
    flag = flag or f"--{key.rpartition('.')[2].replace('_', '-')}"
    kind = _option_type(field.annotation)
    flags = f"{flag}/--no-{flag.removeprefix('--')}" if kind is bool else flag
    text = field.description or ""
    if model is not Recipe and field.default not in (None, False):
        text = f"{text.removesuffix('.')}; default: {field.default}."
    return flag, Annotated[kind | None, typer.Option(flags, help=text)]


def parse_setting(key: str, flag: str, value: Any) -> Any:
    """Read the value of a flag that changes a setting: the text of a list or a size; other values stay."""
    kind = _tuple_type(_field(key).annotation)
    if kind is None or not isinstance(value, str):
        return value
    return parse_list(flag, value) if Ellipsis in get_args(kind) else parse_size(value, flag)


def view_changes(
    section: str,
    *,
    scales: str | None = None,
    flip: bool | None = None,
    average: str | None = None,
    window: str | None = None,
    window_stride: str | None = None,
) -> dict[str, Any]:
    """Return the changes that the flags of views make in a section of the recipe."""
    return {
        f"{section}.scales": None if scales is None else parse_list("--scales", scales),
        f"{section}.flip": flip,
        f"{section}.average": average,
        f"{section}.window": None if window is None else parse_size(window, "--window"),
        f"{section}.window_stride": None if window_stride is None else parse_size(window_stride, "--window-stride"),
    }


def check_settings(kind: type[Checked], command: str, values: dict[str, Any]) -> Checked:
    """Return a section of settings of a command that reads no recipe.

    `values` are by name, or by the dotted key of the command; None is the default. Raises UdasegError for a value that
    does not fit.
    """
    given = {key.removeprefix(f"{command}."): value for key, value in values.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{first['msg']} (found {first['input']!r})"
        if first["type"] == "value_error":
            problem = str(first["ctx"]["error"])
        flag = f"--{str(first['loc'][0]).replace('_', '-')}: " if first["loc"] else ""
        raise UdasegError(f"{flag}{problem}", f"udaseg {command} --help lists what it takes") from None


def parse_list(flag: str, text: str) -> list[float]:
    """Read numbers with commas between them; raises UdasegError for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UdasegError(f"{flag} {text}: expected numbers", f"for example {flag} 0.9,1.0,1.2") from None


def parse_image_size(text: str | None) -> tuple[int, int] | str | None:
    """Read HEIGHTxWIDTH, or `own`, of --size; None where it was not given."""
    if text is None or text == OWN:
        return text
    height, width = parse_size(text)
    return height, width


def parse_seeds(text: str) -> list[int]:
    """Read seeds with commas or spaces between them; raises UdasegError for anything else."""
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdigit() for part in parts) or len(set(parts)) < len(parts):
        raise UdasegError(f"--seeds {text}: expected whole numbers from 0, each once", "for example --seeds 0,1,2")
    return [int(part) for part in parts]


def parse_size(text: str, flag: str = "--size") -> list[int]:
    """Read HEIGHTxWIDTH in pixels; raises UdasegError for anything else."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 1 <= int(part) <= LONGEST for part in parts):
        raise UdasegError(f"{flag} {text}: expected HEIGHTxWIDTH, up to {LONGEST} each", f"for example {flag} 256x512")
    return [int(part) for part in parts]


def _field(key: str, model: Any = Recipe) -> FieldInfo:
    """Return the field of a setting by its dotted key."""
    *sections, name = key.split(".")
    for section in sections:
        model = _section_type(model.model_fields[section].annotation)
    return model.model_fields[name]


def _tuple_type(annotation: Any) -> Any:
    """Return the type of a tuple in an annotation, None where it has none."""
    if get_origin(annotation) is tuple:
        return annotation
    return next((found for part in get_args(annotation) if (found := _tuple_type(part)) is not None), None)


def _section_type(annotation: Any) -> Any:
    return next(kind for kind in (get_args(annotation) or (annotation,)) if kind is not type(None))


def _option_type(annotation: Any) -> type:
    """Return the plain type by which a value is given on the command line."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _option_type(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _option_type(next(kind for kind in get_args(annotation) if kind is not type(None)))
    if origin is Literal:
        return bool if isinstance(get_args(annotation)[0], bool) else str
    return str if origin is tuple else annotation
