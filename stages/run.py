"""udaseg run: the whole chain of a recipe in one command."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from udaseg.errors import UdasegError, did_you_mean, join_names
from udaseg.pipeline import chain, chain_status, datasets, toytown
from udaseg.pipeline.chain_weights import fetch_weights, require_weights
from udaseg.pipeline.engine import run_stage
from udaseg.pipeline.log import log
from udaseg.pipeline.run import Run, command_of

from .terminal.command import run_command
from .terminal.options import complete_recipe, parse_seeds
from .terminal.tables import console, sheet_table


def run_chain(run: Run, until: str | None) -> None:
    """Run the stages of a chain in order, up to `until`; what is up to date is left out."""
    steps = _steps_until(run, until)
    _require_truth(run, steps)
    fetch_weights(steps)
    for number, step in enumerate(steps, 1):
        log(f"[{number}/{len(steps)}] {step.label}")
        run_stage(replace(step.run, prints=number == len(steps)), step.stage)
    done = f"everything up to {until}" if until else "everything"
    page = run.folder / "report.html"
    log(f"run: done, {done} is up to date in {run.folder}" + (f"; the page is {page}" if page.is_file() else ""))


def plan_chain(run: Run, until: str | None) -> None:
    """Print what a run of the chain would do, stage by stage."""
    steps = _steps_until(run, until)
    require_weights(steps)
    states, changed = chain_status.states(run), set()
    for number, (step, row) in enumerate(zip(steps, states, strict=False), 1):
        reasons = ["--force was given"] if run.force else row["why"]
        earlier = sorted(chain.stages_read(step) & changed)
        if earlier and not reasons:
            reasons = [f"if {join_names(earlier)} comes out differently"]
        if reasons:
            changed.add(step.label)
        state = f"would run: {'; '.join(reasons)}" if reasons else "up to date"
        log(f"[{number}/{len(steps)}] {step.label}: {state}")


def _require_truth(run: Run, steps: list[chain.Step]) -> None:
    """Raise UdasegError before anything is trained where a later step scores labels that cannot be opened."""
    scored = [number for number, step in enumerate(steps) if step.stage.name == chain.EVALUATE]
    if not scored or scored[0] == 0 or toytown.needs_rendering(run):
        return
    try:
        datasets.open_dataset(run, "val")
    except UdasegError as error:
        command = command_of(run, f"udaseg run --until {steps[scored[0] - 1].name}")
        raise UdasegError(error.message, f"{error.hint}\n       or train without scores: {command}") from None


def _steps_until(run: Run, until: str | None) -> list[chain.Step]:
    """Return the steps of the chain up to the last one of a name; raises UdasegError where there is none."""
    steps = chain.steps(run)
    if not steps:
        raise UdasegError(f"recipe {run.recipe.name} has no stages in its chain", "add them: chain: [warmup, evaluate]")
    if until is None:
        return steps
    names = [step.name for step in steps]
    if until not in names:
        known = list(dict.fromkeys(names))
        raise UdasegError(
            f"--until {until}: the chain of {run.recipe.name} has no such stage",
            f"{did_you_mean(until, known)}known: {', '.join(known)}",
        )
    return steps[: len(names) - names[::-1].index(until)]


def _compare(folders: list[Path]) -> None:
    """Print the scores of the runs side by side: their mean and spread."""
    from udaseg.report import comparison_table
    from udaseg.report.compare import compare, read_run

    rows = compare([read_run(folder) for folder in folders], [], None)
    console().print(sheet_table(comparison_table.summary(rows, None, [])))


@run_command(without=("estimate", "round_", "out", "as_json"))
def command(
    open_run: Callable[..., Run],
    recipe: Annotated[
        str | None, typer.Argument(help="A shipped recipe or a file; default: demo.", autocompletion=complete_recipe)
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of self-training.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage of the chain.")] = None,
    seeds: Annotated[str | None, typer.Option(help="A run for each of these seeds, then a comparison: 0,1,2.")] = None,
) -> None:
    """Run the whole chain of a recipe: what is up to date is left out, what was stopped goes on.

    Example: udaseg run gta2city --scale toy --seeds 0,1,2
    """
    options = {} if recipe is None else {"recipe_name": recipe}
    changes = {"rounds": rounds}
    if seeds is None:
        run = open_run(changes, **options)
        (plan_chain if run.dry_run else run_chain)(run, until)
        return
    first, folders = open_run(changes, **options), []
    if "seed" in first.changes:
        raise UdasegError("--seeds and --seed were both given", "give --seeds or --seed")
    for seed in parse_seeds(seeds):
        folder = first.folder.with_name(f"{first.folder.name}-{seed}")
        run = open_run({**changes, "seed": seed}, run=folder, **options)
        log(f"run: seed {seed} in {folder}")
        (plan_chain if run.dry_run else run_chain)(replace(run, datasets=first.datasets, digests=first.digests), until)
        folders.append(folder)
    if not first.dry_run and any(step.name.startswith("evaluate") for step in _steps_until(first, until)):
        _compare(folders)
