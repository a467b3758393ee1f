"""Copy runs to a tracker, once or while they go on."""

import time
from pathlib import Path
from typing import Annotated

import typer

from udaseg.errors import UdasegError
from udaseg.pipeline.log import log

SECONDS = 5.0  # between two looks at the runs

RunsArgument = Annotated[list[Path], typer.Argument(help="Run directories.")]
FollowOption = Annotated[bool, typer.Option("--follow", help="Go on as the runs go on, until Ctrl-C.")]


def track(command: str, runs: list[Path], to: str, out: Path | None, follow: bool) -> None:
    """Copy runs to the tracker `to`, into the folder `out` or one beside the first run; `follow` goes on until Ctrl-C.

    `command` is named in what is logged.
    """
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise UdasegError(
            "two of the runs have the same name, and would share a folder", "write each with its own --out"
        )
    from udaseg.report.run_data import read_stages
    from udaseg.report.trackers import Copy, tracker_errors, tracker_module

    for run in runs:
        read_stages(run)  # raises before anything is opened
    tracker = tracker_module(to)
    out = out or runs[0].parent / tracker.FOLDER
    copies: list[Copy] = []
    with tracker_errors(to):
        try:
            copies += [Copy(run, tracker.open_tracker(run, out)) for run in runs]
            written = sum(copy.update() for copy in copies)
            log(f"{command}: {written} numbers of {len(runs)} run{'s' * (len(runs) > 1)} {tracker.describe(out)}")
            while follow:
                time.sleep(SECONDS)
                for copy in copies:
                    copy.update()
        except KeyboardInterrupt:
            log(f"{command}: no longer followed")
        finally:
            for copy in copies:
                copy.close()
