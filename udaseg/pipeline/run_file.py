"""run.json: which recipe a run is of, for the commands that name the run alone."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from udaseg.config.load import load_recipe, resolve_recipe_name
from udaseg.errors import UdasegError
from udaseg.io.documents.read import read_document
from udaseg.io.documents.run_file import RunFile
from udaseg.io.files import write_json
from udaseg.pipeline.swap import stage_folders

RUN_FILE = RunFile.file


def read(run: Path) -> dict[str, Any]:
    """Read what a run remembers, nothing of one that has not begun.

    Raises UdasegError where the file is damaged, or not there although stages are.
    """
    path = run / RUN_FILE
    hint = f"name its recipe, which writes the file again: --run {shlex.quote(str(run))} --recipe NAME"
    run_file = read_document(path, RunFile, hint)
    if run_file is None:
        if stage_folders(run):
            raise UdasegError(f"{run} holds stages and no {RUN_FILE}, which says of what recipe they are", hint)
        return {}
    return run_file.content()


def find(run: Path | None, recipe: str | None, scale: str | None, called: str | None) -> tuple[Path, dict[str, Any]]:
    """Find the directory of a run, and what it remembers: the recipe, and scale, data and seed where it has begun.

    A run that is not named is `runs/<recipe>`, or `runs/<recipe>-toy` for a toy twin; `called` is another name for the
    recipe. Raises UdasegError for a damaged run.json, unless the recipe is named: it is then written again. A run of
    another recipe than the one that is named remembers nothing.
    """
    if run is not None and recipe is None:
        return run, {"recipe": "demo"} | read(run)
    name = "demo" if recipe is None else recipe
    if run is None:
        plain = load_recipe(name)
        run = Path("runs", f"{called or plain.name}{'-toy' if scale == 'toy' != plain.scale else ''}")
    before: dict[str, Any] = {}
    with suppress(UdasegError):
        before = read(run)
    return run, (before if before.get("recipe") == resolve_recipe_name(name) else {}) | {"recipe": name}


def write(run: Path, remembered: dict[str, Any]) -> None:
    """Write down of which recipe a run is."""
    write_json(run / RUN_FILE, remembered)


def write_if_missing(run: Path, remembered: dict[str, Any]) -> None:
    """Write run.json where it is missing or damaged; a run of somebody else's may be read-only."""
    with suppress(OSError):
        try:
            if read(run):
                return
        except UdasegError:
            pass
        write(run, remembered)
