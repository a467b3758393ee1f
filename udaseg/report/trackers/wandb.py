"""Weights & Biases: a run of the project `udaseg` for each run, offline unless WANDB_MODE says otherwise."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from udaseg.report.trackers import identity

FOLDER = "wandb"
PROJECT = "udaseg"
OFFLINE = "offline"
DIGITS = 12  # of the identity of a run


class WandbRun:
    """A run of Weights & Biases: settings in its configuration, numbers as `<stage>/<name>` over `<stage>/step`.

    An earlier copy is replaced: one in the same folder that waits to be sent, and one that was sent.
    """

    def __init__(self, run: Path, out: Path):
        self._out, self._name = out, run.resolve().name
        self._identity = hashlib.sha256(os.fsencode(identity(run))).hexdigest()[:DIGITS]
        self._begin()

    def settings(self, stage: str, values: Mapping[str, Any]) -> None:
        self._run.config.update({f"{stage}/{key}": value for key, value in values.items()}, allow_val_change=True)

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        axis = f"{stage}/step"
        if stage not in self._known:
            self._known.add(stage)
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"{stage}/*", step_metric=axis)
        self._run.log({axis: step, **{f"{stage}/{name}": value for name, value in values.items()}})

    def scores(self, stage: str, round_: int, values: Mapping[str, float]) -> None:
        self.scalars(stage, round_, values)
        self._run.summary.update({f"{stage}/{name}": value for name, value in values.items()})

    def restart(self) -> None:
        self.close()
        self._begin()

    def flush(self) -> None:
        """Do nothing: a process of Weights & Biases writes."""

    def close(self) -> None:
        self._run.finish()
        own = Path(self._run.dir).parent
        for before in self._earlier:  # not sooner: another process writes the files of a run that has just ended
            if before.resolve() != own.resolve():
                shutil.rmtree(before, ignore_errors=True)

    def _begin(self) -> None:
        import wandb

        self._earlier = list((self._out / "wandb").glob(f"offline-run-*-{self._identity}"))
        self._out.mkdir(parents=True, exist_ok=True)
        self._known: set[str] = set()
        # What it would add of this machine and this program is left out.
        quiet = wandb.Settings(
            silent=True, console="off", disable_git=True, save_code=False, x_disable_meta=True, x_disable_stats=True,
            x_save_requirements=False,            disable_job_creation=True,
        )  # fmt: skip
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=self._name, id=self._identity, dir=str(self._out),
            mode=_mode(), reinit="create_new", settings=quiet,  # without `resume` a run of this id is written anew
        )  # fmt: skip


def open_tracker(run: Path, out: Path) -> WandbRun:
    """Open a run of Weights & Biases, whose files are in the folder `out`."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    return WandbRun(run, out)


def describe(out: Path) -> str:
    """Say where the copies are, and how they are sent."""
    if _mode() != OFFLINE:
        return f"in {out / 'wandb'}, in the mode that WANDB_MODE says: {_mode()}"
    return f"in {out / 'wandb'}; nothing was sent, and this sends it: wandb sync {out / 'wandb' / 'offline-run-*'}"


def _mode() -> Any:
    return os.environ.get("WANDB_MODE") or OFFLINE
