"""Where people keep track of runs: TensorBoard, MLflow and Weights & Biases, behind one interface.

A tracker is a module of this package with `open_tracker(run, out)`, which returns a `Tracker`, and `describe(out)`,
which says where it writes and how to look at it; FOLDER is the name of its folder beside the runs. log.jsonl and the
manifests stay the record of a run: a tracker copies them.
"""

import getpass
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from udaseg.errors import UdasegError, did_you_mean
from udaseg.report.run_data import Stage, read_stages

# --to -> the package and the extra that installs it; the module has the same name
TRACKERS = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
HINTS = {
    "tensorboard": "is there room in the directory of --out, and may you write there?",
    "mlflow": "check MLFLOW_TRACKING_URI, and whether its server runs; without it a local database is written",
    "wandb": "check WANDB_MODE and log in with `wandb login`; without WANDB_MODE only local files are written",
}
MEANS = ("miou", "miou16", "miou13", "pixel_accuracy")


class Tracker(Protocol):
    """What a run is copied to."""

    def settings(self, stage: str, values: Mapping[str, Any]) -> None:
        """Note the settings of a finished stage, by dotted key."""

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Note numbers of a stage at a step."""

    def scores(self, stage: str, round_: int, values: Mapping[str, float]) -> None:
        """Note the scores of an evaluation."""

    def restart(self) -> None:
        """Forget everything that was noted of the run: a training went back to an earlier step."""

    def flush(self) -> None:
        """Write what waits."""

    def close(self) -> None:
        """End the copy."""


def tracker_module(name: str) -> Any:
    """Return the module of a tracker. Raises UdasegError for another name, and where its package is missing."""
    if name not in TRACKERS:
        raise UdasegError(
            f"there is no tracker {name!r}", f"{did_you_mean(name, TRACKERS)}known to --to: {', '.join(TRACKERS)}"
        )
    if find_spec(TRACKERS[name]) is None:
        raise UdasegError(f"{name} is not installed", f"pip install 'udaseg[{name}]'")
    return import_module(f"udaseg.report.trackers.{name}")


def identity(run: Path) -> str:
    """Return what tells a run from those of others in one tracker: user@host:path.

    The path alone is that of other runs too: containers often work in directories of one name.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have users without a name
        user = str(os.getuid())
    return f"{user}@{platform.node()}:{run.resolve()}"


def without_password(address: str) -> str:
    """Return a text without the user and the password in the addresses that it holds."""
    return re.sub(r"://[^/\s]*@", "://", address)


@contextmanager
def tracker_errors(name: str) -> Iterator[None]:
    """Turn what the package of a tracker raises, as where no server answers, into a UdasegError."""
    try:
        yield
    except UdasegError:
        raise
    except Exception as error:  # the packages have no common base of their errors, and pass on those of others
        lines = str(error).strip().splitlines() or [""]
        message = without_password(f"{name} failed: {type(error).__name__}: {lines[0]}")
        raise UdasegError(message, HINTS[name]) from None


class Copy:
    """A copy of a run in a tracker. `update` adds what is new, so that a running training can be followed.

    Where a resumed training goes back to an earlier step, or a finished stage is done again, the run is copied anew.
    """

    def __init__(self, run: Path, tracker: Tracker):
        self._run, self._tracker = run, tracker
        self._last: dict[tuple[str, str], int] = {}  # the last step by stage and name
        self._with_settings: set[str] = set()
        self._started: dict[str, str] = {}  # when the finished stages were begun, by their names

    def update(self) -> int:
        """Copy what is new and return the count of its numbers. Raises UdasegError as `collect` does."""
        stages = read_stages(self._run).stages
        numbers = {stage.name: list(_numbers(stage)) for stage in stages}
        newest = {(name, key): step for name, lines in numbers.items() for step, values in lines for key in values}
        started = {stage.name: stage.manifest.started for stage in stages if stage.manifest}
        is_again = any(self._started.get(name, time) != time for name, time in started.items())
        if is_again or any(step < self._last.get(name, step) for name, step in newest.items()):
            self._tracker.restart()
            self._last, self._with_settings = {}, set()
        self._started |= started
        written = 0
        for stage in stages:
            if stage.manifest and stage.name not in self._with_settings:
                self._tracker.settings(stage.name, {"seed": stage.manifest.seed, **_flat(stage.manifest.settings)})
                self._with_settings.add(stage.name)
            note = self._tracker.scores if stage.kind == "evaluate" else self._tracker.scalars
            for step, values in numbers[stage.name]:
                new = {key: value for key, value in values.items() if step > self._last.get((stage.name, key), -1)}
                if new:
                    note(stage.name, step, new)
                    self._last |= {(stage.name, key): step for key in new}
                    written += len(new)
        self._tracker.flush()
        return written

    def close(self) -> None:
        """End the copy."""
        self._tracker.close()


def _numbers(stage: Stage) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the numbers of a stage by step: those of its log, or its scores, whose step is the round."""
    for record in sorted(stage.log, key=lambda record: record["step"]):
        yield (
            record["step"],
            {name: value for name, value in record.items() if name != "step" and isinstance(value, int | float)},
        )
    if stage.kind == "evaluate" and stage.result:
        classes = zip(stage.result.classes, stage.result.iou, strict=True)
        scores = {name: getattr(stage.result, name) for name in MEANS} | {f"iou/{name}": iou for name, iou in classes}
        yield stage.round, {name: value for name, value in scores.items() if value is not None}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
