"""Run the rows of a table over seeds, several at a time, and write what came out."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udaseg.config.rules import require_read
from udaseg.errors import UdasegError, join_names
from udaseg.io.documents.class_statistics import ClassStatistics
from udaseg.io.documents.read import read_document
from udaseg.io.files import atomic
from udaseg.pipeline import chain, datasets
from udaseg.pipeline.chain_weights import require_weights
from udaseg.pipeline.engine import run_stage
from udaseg.pipeline.log import log
from udaseg.pipeline.run import Run
from udaseg.stages.cli import STAGES
from udaseg.stages.terminal.command import open_plain_run

from .chart import as_svg
from .definitions import Pair, Row, Table
from .document import as_csv, as_markdown
from .figures import figures
from .recipes import RowRecipe, problems, row_recipe, write_recipe
from .run_row import ROOT
from .scores import Score, rarest, read_score, run_folder

COUNTS = "classes"  # the directory of the run that counts the source's classes, in the place of a table
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Places:
    """Where data are read, where rows are run, and where tables are written."""

    data: Path = Path("data")
    runs: Path = Path("runs/evidence")
    out: Path = Path("evidence")


@dataclass(frozen=True)
class Task:
    """A row to run with one seed."""

    row: Row
    seed: int
    recipe: Path
    folder: Path

    @property
    def log(self) -> Path:
        """The file that keeps what the run prints."""
        return self.folder.with_suffix(".log")

    @property
    def last_words(self) -> str:
        """What the run said at its end: its error, else its last line."""
        lines = self.log.read_text(encoding="utf-8").splitlines() or ["nothing"]
        return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])

    @property
    def command(self) -> list[str]:
        """The command that runs it."""
        words = [str(self.recipe), "--run", str(self.folder), "--seed", str(self.seed)]
        return [sys.executable, "-m", "tests.evidence.run_row", *words]


def measure(
    pair: Pair, table: Table, seeds: Sequence[int], *, jobs: int, changes: Mapping[str, Any], places: Places
) -> list[Task]:
    """Run all rows of a table on a pair with every seed, write the table, and return what failed.

    What is finished is not run again; what was stopped goes on. A row that fails stops no other. Raises UdasegError
    before anything runs for a recipe that cannot be run, and for data or weights that are missing.
    """
    folder = places.runs / pair.name / table.name
    recipes = {row.name: row_recipe(row, table, pair, changes, places.data) for row in table.all_rows}
    for row in table.all_rows:
        write_recipe(folder / f"{row.folder}.yaml", recipes[row.name])
    require_read({key: key for key in changes}, [one.recipe for one in recipes.values()])
    _require_runnable(pair, recipes, places)
    rare = _rarest(pair, folder / f"{table.all_rows[0].folder}.yaml", places)
    tasks = [
        Task(row, seed, folder / f"{row.folder}.yaml", run_folder(places.runs, pair.name, table.name, seed, row.folder))
        for row in table.all_rows
        for seed in seeds
    ]
    failed = run_tasks(tasks, jobs, f"{pair.name}-{table.name}")
    scores = [_score(task) for task in tasks if task not in failed]
    if scores:
        out = folder if table.is_trial else places.out
        found = figures(table, scores, rare, seeds)
        _write(out / f"{pair.name}-{table.name}.md", as_markdown(pair, found, recipes, changes))
        _write(out / f"{pair.name}-{table.name}.csv", as_csv(pair, found, recipes, changes))
        _write(out / f"{pair.name}-{table.name}.svg", as_svg(found))
        log(f"evidence: {out / f'{pair.name}-{table.name}.md'}, and .csv and .svg beside it")
    return failed


def run_tasks(tasks: Sequence[Task], jobs: int, title: str) -> list[Task]:
    """Run tasks, so many at a time, each on one thread with a log of its own; return those that failed, in order."""
    running: set[subprocess.Popen] = set()
    failed = []
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run, task, running): task for task in tasks}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                task, code = futures[future], future.result()
                ended = "done" if code == 0 else f"failed, see {task.log}"
                log(f"[{done}/{len(tasks)}] {title}: {task.row.name}, seed {task.seed}: {ended}")
                failed += [task] if code else []
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in [*running]:
                process.send_signal(signal.SIGINT)  # a stage keeps what it has done
            raise
    return sorted(failed, key=tasks.index)


def _run(task: Task, running: set[subprocess.Popen]) -> int:
    """Run a task to its end and return its exit code."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    surroundings = os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)}
    with task.log.open("a", encoding="utf-8") as out:  # what was run before stays readable
        process = subprocess.Popen(task.command, stdout=out, stderr=subprocess.STDOUT, env=surroundings)
    running.add(process)
    code = process.wait()
    running.discard(process)
    return code


def _require_runnable(pair: Pair, recipes: Mapping[str, RowRecipe], places: Places) -> None:
    """Raise UdasegError where a recipe cannot be run, with all that is wrong, or where data or weights are missing."""
    wrong = [f"{name}: {problem}" for name, recipe in recipes.items() for problem in problems(recipe)]
    if wrong:
        raise UdasegError(
            "these rows cannot be run:\n  " + "\n  ".join(wrong), "mend tests/evidence/tables.yaml, or what SET changes"
        )
    absent = [str(places.data / root) for root in pair.roots if not (places.data / root).is_dir()]
    if absent:
        raise UdasegError(
            f"the pair {pair.name} reads {join_names(absent)}: not there",
            f"name the directory that holds {join_names(pair.roots)}: `make evidence PAIR={pair.name} DATA=/datasets`; "
            "docs/results.md says what is in it",
        )
    for recipe in recipes.values():
        require_weights(chain.steps(Run(recipe.recipe, Path(pair.name), {}, STAGES)))


def _rarest(pair: Pair, recipe: Path, places: Places) -> dict[str, float]:
    """Open the data of a pair, rendered where it is toytown, and return the rarest classes of its source."""
    run = open_plain_run(str(recipe), run=run_folder(places.runs, pair.name, COUNTS, 0, "source"))
    datasets.require_datasets(run)
    run_stage(run, STAGES["stats"])
    counts = read_document(run.folder / "stats" / ClassStatistics.file, ClassStatistics, "run it again")
    assert counts is not None
    return rarest(counts.classes, counts.pixels)


def _score(task: Task) -> Score:
    return read_score(task.row.name, open_plain_run(str(task.recipe), seed=task.seed, run=task.folder))


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
