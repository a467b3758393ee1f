"""A finished run of a tiny recipe, in a directory of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..stages.conftest import CHAIN, RECIPE

# One process after another on the cores of a small machine.
SURROUNDINGS = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ALL = """
import sys
from udaseg.stages import cli
for command in sys.argv[1:]:
    if cli.run([*command.split(), "--recipe", "tiny.yaml"]):
        sys.exit(f"udaseg {command} failed")
"""


@contextmanager
def finished(place: Path | None = None) -> Iterator[Path]:
    """Give the directory with tiny.yaml and its finished run: an existing one, or one that is made and removed."""
    os.environ.update(SURROUNDINGS)
    with tempfile.TemporaryDirectory(prefix="udaseg-") as name:
        os.environ["XDG_CACHE_HOME"] = str(Path(name, "cache"))
        if place is not None and place.exists():
            yield place.resolve()
            return
        print("making a finished run of a tiny recipe", flush=True)
        run = Path(name, "finished") if place is None else place
        make(run)
        yield run.resolve()


def make(place: Path) -> None:
    """Render the world of the tiny recipe and run its chain."""
    place.mkdir(parents=True)
    (place / "tiny.yaml").write_text(RECIPE)
    subprocess.run(
        [sys.executable, "-c", ALL, *CHAIN], cwd=place, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
