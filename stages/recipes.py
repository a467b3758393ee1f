"""udaseg recipe: the shipped recipes."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
import yaml

from udaseg import recipes
from udaseg.errors import UdasegError

from .session import ScaleOption, SetOption, start

app = typer.Typer(help="List, show and copy the shipped recipes.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the shipped recipes.

    Example: udaseg recipe list
    """
    from rich.console import Console
    from rich.table import Table

    table = Table("recipe", "what it is", box=None)
    for name in recipes.shipped():
        table.add_row(name, recipes.load(name).description)
    Console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A shipped recipe or a .yaml file.")],
    scale: ScaleOption = None,
    set_: SetOption = None,
) -> None:
    """Print a recipe with every setting it comes to.

    Example: udaseg recipe show gta2city --scale toy
    """
    resolved = start(name, scale=scale, set_=set_).recipe
    print(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A shipped recipe.")],
    to: Annotated[Path | None, typer.Argument(help="The file to write; default: NAME.yaml.")] = None,
) -> None:
    """Copy a shipped recipe to change it.

    Example: udaseg recipe copy gta2city mine.yaml
    """
    known = recipes.shipped()
    if name not in known:
        raise UdasegError(f"there is no shipped recipe {name!r}", f"shipped recipes: {', '.join(known)}")
    to = to or Path(f"{name}.yaml")
    if to.exists():
        raise UdasegError(f"{to} exists already", "name another file")
    shutil.copyfile(known[name], to)
    print(to)
