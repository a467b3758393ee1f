"""udaseg tensorboard: runs as event files, once or while they are being trained."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal.tracking import FollowOption, RunsArgument, track


def command(
    runs: RunsArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write here, a folder a run; default: tensorboard beside the first.")
    ] = None,
    follow: FollowOption = False,
) -> None:
    """Write the curves and scores of runs for TensorBoard; log.jsonl stays the one record of a training.

    Example: udaseg tensorboard runs/demo --follow
    """
    track("tensorboard", runs, "tensorboard", out, follow)
