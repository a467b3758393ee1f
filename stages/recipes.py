"""udaseg recipe: the shipped recipes."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
import yaml

from udaseg.config import rules
from udaseg.config.load import load_recipe, shipped_recipes, suggest_recipe
from udaseg.errors import UdasegError
from udaseg.pipeline.artifacts import read_manifest

from . import chain, inputs, made
from .options import DataOption, ScaleOption, SetOption, recipe_names, shipped_names
from .session import Session, start

app = typer.Typer(help="List, show, copy and check recipes.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the shipped recipes.

    Example: udaseg recipe list
    """
    from rich.table import Table

    from .tables import console

    table = Table("recipe", "what it is", box=None)
    for name in shipped_recipes():
        table.add_row(name, load_recipe(name).description)
    console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A shipped recipe or a .yaml file.", autocompletion=recipe_names)],
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
    name: Annotated[str, typer.Argument(help="A shipped recipe.", autocompletion=shipped_names)],
    to: Annotated[Path | None, typer.Argument(help="The file to write; default: NAME.yaml.")] = None,
) -> None:
    """Copy a shipped recipe to change it.

    Example: udaseg recipe copy gta2city mine.yaml
    """
    known = shipped_recipes()
    if name not in known:
        raise UdasegError(f"there is no shipped recipe {name!r}", suggest_recipe(name))
    to = to or Path(f"{name}.yaml")
    if to.exists():
        raise UdasegError(f"{to} exists already", "name another file")
    shutil.copyfile(known[name], to)
    print(to)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A shipped recipe or a .yaml file.", autocompletion=recipe_names)],
    scale: ScaleOption = None,
    set_: SetOption = None,
    data: DataOption = None,
) -> None:
    """Check a recipe: its settings, the order of its stages, its classes, its data. Exits with 1 where it cannot run.

    Example: udaseg recipe check mine.yaml
    """
    session = start(name, scale=scale, set_=set_, data=data)
    recipe = session.recipe
    chain.jobs(session), inputs.space(session)
    wrong = [(error.message, error.hint) for stage in recipe.chain for error in rules.contradictions(recipe, stage)]
    wrong += [(what, f"set chain in {name}") for what in chain.gaps(session)]
    to_render = made.on_toytown(session) and read_manifest(Path(recipe.data)) is None
    absent = list(inputs.lacking(session, made.TOYTOWN if to_render else ()).values())
    if to_render:
        try:
            made.require_room(Path(recipe.data))
        except UdasegError as error:
            absent.append(error)
    wrong += [(error.message, error.hint) for error in absent]
    if wrong:
        hints = "\n       ".join(dict.fromkeys(hint for _, hint in wrong if hint))
        raise UdasegError(f"recipe {name} cannot be run:\n  " + "\n  ".join(what for what, _ in wrong), hints)
    rounds = f", predict to retrain {recipe.rounds} times" if recipe.rounds > 1 else ""
    sides = f"{recipe.source.dataset} to {recipe.target.dataset}"
    print(f"{name} can be run: {sides}, {len(inputs.space(session))} classes, {_network(session)}")
    print(f"stages: {', '.join(recipe.chain) or 'none in its chain'}{rounds}")


def _network(session: Session) -> str:
    model = session.recipe.model
    return f"{model.name} on {model.backbone} from {'scratch' if model.weights == 'none' else model.weights}"
