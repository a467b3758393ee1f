"""Find the runs in directories of runs, and read those that have scores."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from udaseg.errors import UdasegError, join_names
from udaseg.io.documents.manifest import Manifest
from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.run_file import RunFile
from udaseg.report.compare import Run, read_run
from udaseg.report.run_data import STAGE_KINDS, read_stages


def read_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Read runs, evaluations in runs, and all runs below other directories; return them with notes.

    A run that is named has to have scores. Of those below a directory the others are left out, which a note says.
    Raises UdasegError as `read_run` does, and for a directory without a run that has scores.
    """
    runs, notes = [], []
    for path in paths:
        found = find_runs(path)
        if found == [path]:
            runs.append(read_run(path))
            continue
        scored = [run for run in found if _has_scores(run)]
        if not scored:
            raise UdasegError(
                f"none of the {len(found)} runs below {path} has a finished evaluation",
                f"run first: {shlex.join(['udaseg', 'evaluate', '--run', str(found[0])])}",
            )
        runs += [read_run(run) for run in scored]
        if left_out := [str(run) for run in found if run not in scored]:
            notes.append(f"{len(left_out)} of {len(found)} runs have no finished evaluation: {join_names(left_out)}")
    return runs, notes


def find_runs(path: Path) -> list[Path]:
    """Return a path that is a run, or an evaluation in one; of another directory the runs below it, in order.

    What lies inside of a run, such as its ablation, is not looked for.
    """
    if not path.is_dir() or (path / Metrics.file).is_file() or _is_run(path):
        return [path]
    found: list[Path] = []
    for parent, folders, _ in os.walk(path):
        runs = [name for name in folders if _is_run(Path(parent, name))]
        found += [Path(parent, name) for name in runs]
        folders[:] = [name for name in folders if name not in runs and not name.startswith(".")]
    return sorted(found) or [path]  # the path alone: reading it says what is wrong with it


def _is_run(folder: Path) -> bool:
    """Tell whether a directory has the record of a run, or a finished stage of the chain and no runs beside it."""
    if (folder / RunFile.file).is_file():
        return True
    children = list(folder.iterdir())
    if any((child / RunFile.file).is_file() for child in children):  # a stage was written beside runs, with --out
        return False
    stages = [child for child in children if child.name.split("-")[0] in STAGE_KINDS]
    return any((stage / Manifest.file).is_file() for stage in stages)


def _has_scores(run: Path) -> bool:
    stages = read_stages(run)
    return (stages.evaluation("adapted") or stages.evaluation("source")) is not None
