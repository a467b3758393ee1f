"""The chain of a recipe of full scale on made-up files, in one process."""

import contextlib
import io
import os
import shutil
from pathlib import Path

from udaseg.config.load import load_recipe
from udaseg.stages import cli

from .shrink import arguments, shrink
from .weights import write_weights
from .worlds import WRITERS


def write_data(root: Path, recipes: list[str]) -> None:
    """Write the datasets that recipes name, each once."""
    loaded = list(map(load_recipe, recipes))
    for name in sorted({side.dataset for one in loaded for side in (*one.all_sources.values(), one.target)}):
        if not (root / name).exists():
            WRITERS[name](root)


def run_to_report(name: str, place: Path, *more: str) -> str:
    """Run a recipe in a directory with `data`; return what was said if it does not come to its report, else "".

    The directory of the run is removed: networks are large.
    """
    before, said = Path.cwd(), io.StringIO()
    os.chdir(place)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            recipe = load_recipe(name)
            changes = shrink(recipe, write_weights(recipe.model.encoder_name))
            code = cli.run(["run", name, "--run", f"runs/{name}", *arguments(changes), *more])
        if code == 0 and Path("runs", name, "report.html").is_file():
            return ""
        return said.getvalue()
    finally:
        shutil.rmtree(Path("runs", name), ignore_errors=True)
        os.chdir(before)
