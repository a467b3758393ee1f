"""The options that every stage command takes, beside its own."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, get_args

import typer

from udaseg.config.load import shipped_recipes
from udaseg.errors import UdasegError


def shipped_names(incomplete: str) -> list[str]:
    """Complete the name of a shipped recipe."""
    return [name for name in shipped_recipes() if name.startswith(incomplete)]


def recipe_names(incomplete: str) -> list[str]:
    """Complete the name of a recipe: a shipped one, or a file."""
    place = Path(incomplete[: incomplete.rfind("/") + 1])
    found = shipped_names(incomplete)
    with suppress(OSError):
        files = (place / path.name for path in sorted(place.iterdir()) if path.is_dir() or path.suffix == ".yaml")
        found += [name for name in map(str, files) if name.startswith(incomplete)]
    return found


def as_flag(key: str) -> str:
    """Name the flag that stands for the setting at a dotted key."""
    return f"--{key.rpartition('.')[2].replace('_', '-')}"


def refuse_unread(flags: dict[str, object], because: str, hint: str) -> None:
    """Raise UdasegError where a flag was given, a value that is not None, that nothing would read."""
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        raise UdasegError(
            f"{', '.join(given)}: nothing would read {'it' if len(given) == 1 else 'them'}: {because}", hint
        )


RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", "-r", help="A shipped recipe or a file; default: demo.", autocompletion=recipe_names),
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
# The panels of a command's help, after the one with its own options.
for _panel, _names in (
    ("Recipe", ("recipe_name", "scale", "set_", "data", "target_list", "seed")),
    ("Run", ("run", "round_", "out", "force", "dry_run", "estimate", "as_json")),
):
    for _name in _names:
        get_args(SHARED[_name])[1].rich_help_panel = _panel
