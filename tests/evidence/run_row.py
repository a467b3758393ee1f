"""Run the chain of one row with one seed: `python -m tests.evidence.run_row RECIPE.yaml --run DIR --seed 0`.

What another row of the pair has done already is taken over. Where two rows in two processes are about to do the same,
one does it, and the other waits.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.digests import content_digest
from udaseg.io.documents.metrics import Metrics
from udaseg.io.files import read_json, write_json
from udaseg.io.locks import locked
from udaseg.pipeline import chain, run_file
from udaseg.pipeline.chain_weights import fetch_weights
from udaseg.pipeline.reuse_chain import reuse_stages
from udaseg.pipeline.run import Run
from udaseg.stages import cli  # whose import fills the list of stages  # noqa: F401
from udaseg.stages.terminal.command import open_plain_run

from .recipes import digest

ROOT = Path(__file__).parent.parent.parent
MEASURED = ("udaseg", "stages", "tests/evidence", "constraints.txt")  # the code that makes a score
RECORD = "evidence.json"  # beside the stages of a row: which code and recipe its score is of
LOCKS = "locks"
WEEK = 7 * 24 * 3600.0


def run_row(recipe: Path, folder: Path, seed: int) -> None:
    """Run the chain of a row, then write down of which commit and recipe its score is.

    `folder` is `<runs>/<pair>/<table>/seed<k>/<row>`. Raises UdasegError as the stages do.
    """
    run, pair, commit = open_plain_run(str(recipe), seed=seed, run=folder), folder.parents[2], current_commit()
    steps = chain.steps(run)
    fetch_weights(steps)
    reuse_stages(run, other_runs(pair, folder))
    for step in steps:
        with _one_at_a_time(step, pair / LOCKS):
            reuse_stages(run, other_runs(pair, folder))
            step.execute()
    run_file.write(folder, run.remembered)  # no stage writes it where all are reused
    _write_record(run, [folder, *other_runs(pair, folder)], commit)


def other_runs(pair: Path, folder: Path) -> list[Path]:
    """Return the directories of all other rows of a pair, and of its counted classes."""
    return [path for path in sorted(pair.glob("*/seed*/*")) if path.is_dir() and path != folder]


def evaluation_folder(run: Run) -> Path:
    """Return the directory of the last evaluation in the chain of a run."""
    return run.folder / [step.label for step in chain.steps(run) if step.stage.name == chain.EVALUATE][-1]


def current_commit() -> str:
    """Return the commit of the code, with a + where files of it were changed since; `unknown` outside of git."""
    try:
        commit = _git("rev-parse", "--short=10", "HEAD").strip()
        return commit + ("+" if _git("status", "--porcelain", "--", *MEASURED) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


@contextmanager
def _one_at_a_time(step: chain.Step, folder: Path) -> Iterator[None]:
    """Hold the lock of what a stage is about to do, whatever row it is of."""
    try:
        job = step.job()
        work: Any = [job.stage, job.settings, job.seed, sorted((name, one.digest) for name, one in job.inputs.items())]
    except UdasegError:  # an input is made first; then all rows of a seed wait for each other
        work = [step.stage.name, step.run.recipe.seed]
    name = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:32]
    with locked(folder / f"{name}.lock", WEEK):
        yield


def _write_record(run: Run, folders: Sequence[Path], commit: str) -> None:
    """Write down the commit of a score: that of an earlier record of the same score, wherever it was measured."""
    metrics = evaluation_folder(run) / Metrics.file
    if (read_json(metrics) or {}).get("miou") is None:
        raise UdasegError(f"{metrics}: none of the classes occurs", "look which classes the labels of the target have")
    record = {"digest": digest(run.recipe), "scores": content_digest(metrics.parent, [metrics])}
    earlier = (read_json(folder / RECORD, f"remove {folder / RECORD}") or {} for folder in folders)
    same = [one for one in earlier if {key: one.get(key) for key in record} == record]
    write_json(run.folder / RECORD, record | {"commit": same[0]["commit"] if same else commit})


def main(arguments: list[str]) -> int:
    """Run a row from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.evidence.run_row", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(arguments)
    try:
        run_row(given.recipe, given.run, given.seed)
    except UdasegError as error:
        print(f"error: {error.message}\n hint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
