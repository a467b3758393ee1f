"""udaseg tensorboard: runs as event files, once or while they are being trained."""

import time
from pathlib import Path
from typing import Annotated

import typer

from udaseg.errors import UdasegError
from udaseg.pipeline.log import log

SECONDS = 5.0  # between two looks at the runs


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write here, a folder a run; default: tensorboard beside the first.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as the runs go on, until Ctrl-C.")] = False,
) -> None:
    """Write the curves and scores of runs for TensorBoard; log.jsonl stays the one record of a training.

    Example: udaseg tensorboard runs/demo --follow
    """
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise UdasegError(
            "two of the runs have the same name, and would share a folder", "write each with its own --out"
        )
    from udaseg.report.tensorboard import Events

    out = out or runs[0].parent / "tensorboard"
    every = [Events(run, out / name) for run, name in zip(runs, names, strict=True)]
    written = sum(events.update() for events in every)
    of = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    log(f"tensorboard: {written} numbers of {of} in {out}; look at them with: tensorboard --logdir {out}")
    try:
        while follow:
            time.sleep(SECONDS)
            for events in every:
                events.update()
    except KeyboardInterrupt:
        log("tensorboard: no longer followed")
    finally:
        for events in every:
            events.close()
