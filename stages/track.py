"""udaseg track: runs in TensorBoard, MLflow or Weights & Biases, once or while they are being trained."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal.tracking import FollowOption, RunsArgument, track


def command(
    runs: RunsArgument,
    to: Annotated[str, typer.Option("--to", help="tensorboard, mlflow or wandb.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write here; default: a folder of the tracker's name beside the first.")
    ] = None,
    follow: FollowOption = False,
) -> None:
    """Copy the curves, settings and scores of runs to a tracker; nothing leaves the machine unless you set it up.

    Example: udaseg track runs/demo --to mlflow --follow
    """
    track("track", runs, to, out, follow)
