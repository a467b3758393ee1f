"""udaseg init: write a recipe for two directories, a labelled source and a target."""

import os
import shlex
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from udaseg.config.load import parse_change, resolve_recipe_name
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.parallel.threads import cores
from udaseg.pipeline import run_file
from udaseg.pipeline.log import log

from .terminal.command import STAGES, open_plain_run
from .terminal.options import SetOption
from .terminal.progress import show_progress

NAME = "mine.yaml"
LEFT_OUT = "retrain.rare=null"  # reads statistics of the whole source, which the measurement would have to wait for


def command(
    source: Annotated[Path, typer.Argument(help="The directory of the labelled images.")],
    target: Annotated[Path, typer.Argument(help="The directory of the images to adapt to.")],
    val: Annotated[Path | None, typer.Option(help="A directory of labelled target images, to score on.")] = None,
    out: Annotated[Path, typer.Option(help="The recipe to write.")] = Path(NAME),
    set_: SetOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the recipe that is there.")] = False,
    measure: Annotated[
        bool, typer.Option("--estimate/--no-estimate", help="Measure a few steps, to tell how long all take.")
    ] = True,
) -> None:
    """Look at two directories and write a commented recipe for them and for this machine.

    Example: udaseg init data/synthetic data/real --out mine.yaml
    """
    from udaseg.pipeline.draft.choices import choose_settings
    from udaseg.pipeline.draft.draft import describe, draft_recipe
    from udaseg.pipeline.draft.machine import this_machine
    from udaseg.pipeline.draft.text import recipe_text

    _require_free(out, overwrite)
    changes = dict(parse_change(text) for text in set_ or [])
    draft = draft_recipe(source, target, val, changes, this_machine(), show_progress)
    words = shlex.join(["udaseg", "run", str(out)])
    head = [
        f"{source} to {target}, on {draft.machine.text}; written by init, yours to change.",
        f"Run it: {words}",
    ]
    settings = choose_settings(draft)
    _require_own_run(out, Path(settings["data"].value))
    text = recipe_text(head, settings)
    _require_utf8(text)
    _check(text, out.name)
    with atomic(out) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    print("\n".join([*describe(draft), f"wrote:   {out}, with the reason beside each setting"]))
    missing = draft.fit.missing_weights
    if missing is not None:
        print(f"weights: {missing.message}: {missing.hint}")
    if measure:
        print(f"takes:   {_measure(out) if missing is None else 'not measured, as the weights are missing'}")
    print(f"run it:  {words}")


def _require_free(out: Path, overwrite: bool) -> None:
    if out.suffix not in (".yaml", ".yml"):
        raise UdasegError(f"--out {out}: expected a .yaml file", f"for example --out {out.with_suffix('.yaml')}")
    if not out.parent.is_dir() or out.is_dir():
        raise UdasegError(
            f"--out {out}: there is no such directory to write a file in", f"for example --out {out.name}"
        )
    if out.exists() and not overwrite:
        raise UdasegError(f"{out} exists already", "name another file with --out, or replace it with --overwrite")


def _require_own_run(out: Path, data: Path) -> None:
    """Raise UdasegError where the run of the recipe has begun with other data: it would go on with them."""
    run, remembered = Path("runs", out.stem), {}
    with suppress(UdasegError):  # of a damaged run.json: `run` tells it
        remembered = run_file.read(run)
    if (
        remembered.get("recipe") != resolve_recipe_name(str(out))
        or Path(remembered["data"]).resolve() == data.resolve()
    ):
        return
    raise UdasegError(
        f"{run} is a run of an earlier {out}, and goes on with the data of that: {remembered['data']}, not {data}",
        f"name another file with --out, or remove the run: {shlex.join(['rm', '-r', str(run)])}",
    )


def _require_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        name = text[: error.end].rpartition("\n")[2].encode("utf-8", "backslashreplace").decode()
        raise UdasegError(
            f"the recipe would hold a name that is no UTF-8: {name}", "rename that file or directory"
        ) from None


def _check(text: str, name: str) -> None:
    """Raise UdasegError where the recipe could not be run; weights that are still to come are no problem."""
    from udaseg.pipeline.chain_check import require_runnable

    with tempfile.TemporaryDirectory(prefix="udaseg-") as folder:
        path = Path(folder, name)
        path.write_text(text, encoding="utf-8")
        try:
            require_runnable(open_plain_run(str(path)), name, weights=False)
        except UdasegError as error:
            raise UdasegError(error.message.replace(str(path), name), error.hint) from None


def _measure(recipe: Path) -> str:
    """Measure a few steps of the training, and say how long all of them take."""
    from udaseg.pipeline.engine import PlannedError, run_stage
    from udaseg.pipeline.estimate import estimate

    log("init: measuring a few steps of the training; --no-estimate leaves this out")
    run = open_plain_run(str(recipe), set_=[LEFT_OUT])
    try:
        cost = estimate(
            "retrain", True, run.folder, lambda sample: run_stage(run.for_sample(sample), STAGES["retrain"])
        )
    except UdasegError as error:  # the recipe is written all the same
        return f"not measured, as a step failed: {error.message} ({error.hint})"
    except PlannedError:  # the log has said which stage
        return "not measured, as the training reads what another stage makes first"
    if cost.disk_bytes > cost.free_disk_bytes:
        log("init: warning: that is more than is free on this disk")
    load, count = os.getloadavg()[0], cores()
    busy = f"; the machine is busy, as {load:.0f} programs share {count} cores: alone it takes less time"
    told = f"told from {cost.sampled['steps']} steps, without evaluate and report"
    return f"{cost.text()}; {told}{busy if load > count + 1 else ''}"
