"""udaseg recipe: the shipped recipes."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
import yaml

from udaseg.config.load import load_recipe, shipped_recipes, suggest_recipe
from udaseg.errors import UdasegError, join_names
from udaseg.pipeline import chain, datasets, toytown
from udaseg.pipeline.chain_check import require_runnable
from udaseg.pipeline.chain_weights import absent_imagenet
from udaseg.pipeline.run import Run

from .terminal.command import open_plain_run
from .terminal.options import DataOption, ScaleOption, SetOption, complete_recipe, complete_shipped_recipe

app = typer.Typer(help="List, show, copy and check recipes.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the shipped recipes.

    Example: udaseg recipe list
    """
    from rich.table import Table

    from .terminal.tables import console

    table = Table("recipe", "what it is", box=None)
    for name in shipped_recipes():
        table.add_row(name, load_recipe(name).description)
    console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A shipped recipe or a .yaml file.", autocompletion=complete_recipe)],
    scale: ScaleOption = None,
    set_: SetOption = None,
) -> None:
    """Print a recipe with every setting it comes to.

    Example: udaseg recipe show gta2city --scale toy
    """
    resolved = open_plain_run(name, scale=scale, set_=set_).recipe
    print(yaml.safe_dump(resolved.read_settings("json"), sort_keys=False, allow_unicode=True), end="")


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A shipped recipe.", autocompletion=complete_shipped_recipe)],
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
    name: Annotated[str, typer.Argument(help="A shipped recipe or a .yaml file.", autocompletion=complete_recipe)],
    scale: ScaleOption = None,
    set_: SetOption = None,
    data: DataOption = None,
) -> None:
    """Check a recipe: settings, order of stages, classes, data, weights. Exits with 1 where it cannot run.

    Example: udaseg recipe check mine.yaml
    """
    run = open_plain_run(name, scale=scale, set_=set_, data=data)
    recipe, classes, steps = run.recipe, len(datasets.class_space(run)), chain.steps(run)
    require_runnable(run, name)
    is_missing = toytown.needs_rendering(run)
    labelled = [name for name in datasets.sets_of(recipe) if name != "target"]
    opened = {} if is_missing else {name: datasets.open_dataset(run, name) for name in labelled}
    rounds = f", predict to retrain {recipe.rounds} times" if recipe.rounds > 1 else ""
    domains = f"{join_names([*recipe.all_sources])} to {recipe.target.dataset}"
    print(f"{name} can be run: {domains}, {classes} classes, {_network(run)}")
    print(f"stages: {', '.join(recipe.chain) or 'none in its chain'}{rounds}")
    for input_name, images in (pair for name in opened for pair in datasets.single_sets(run, name).items()):
        for note in images.notes:
            print(f"note: {input_name}: {note}")
    for note in absent_imagenet(steps):
        print(f"note: {note}")
    for warning in [] if is_missing else [*datasets.labelling_warnings(run, opened), *datasets.teaching_warnings(run)]:
        print(f"warning: {warning}")


def _network(run: Run) -> str:
    model = run.recipe.model
    return (
        f"{model.architecture} on {model.encoder_name} from {'scratch' if model.weights == 'none' else model.weights}"
    )
