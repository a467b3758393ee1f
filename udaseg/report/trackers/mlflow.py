"""MLflow: a run of the experiment `udaseg` for each run, in a local database unless MLFLOW_TRACKING_URI names another.

MLflow itself sends usage statistics unless it is told not to: here it is told.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from udaseg.report.trackers import identity, without_password

FOLDER = "mlflow"
DATABASE = "mlflow.db"
EXPERIMENT = "udaseg"
PLACE = "udaseg.run"  # the tag with the user, the machine and the directory of a run
BATCH = 1000  # numbers that MLflow takes at a time
LONGEST = 500  # characters of a value that all versions take


class MlflowRun:
    """A run of MLflow: settings as parameters, numbers as metrics `<stage>/<name>`; an earlier copy is replaced."""

    def __init__(self, run: Path, out: Path):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        self._metric, self._place, self._name = Metric, identity(run), run.resolve().name
        if _is_local():
            out.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=_address(out))
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        location = (out / "artifacts").resolve().as_uri() if _is_local() else None
        self._experiment = found.experiment_id if found else self._client.create_experiment(name, location)
        self._waiting: list[Any] = []
        self._begin()

    def settings(self, stage: str, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self._client.log_param(self._id, _clean(f"{stage}/{key}"), json.dumps(value)[:LONGEST])

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._waiting += [
            self._metric(_clean(f"{stage}/{name}"), float(value), now, step) for name, value in values.items()
        ]

    scores = scalars

    def restart(self) -> None:
        self._waiting = []
        self._begin()

    def flush(self) -> None:
        for start in range(0, len(self._waiting), BATCH):
            self._client.log_batch(self._id, metrics=self._waiting[start : start + BATCH])
        self._waiting = []

    def close(self) -> None:
        self._client.set_terminated(self._id)

    def _begin(self) -> None:
        quoted = self._place.replace("'", "\\'")
        for before in self._client.search_runs([self._experiment], f"tags.`{PLACE}` = '{quoted}'"):
            self._client.delete_run(before.info.run_id)
        run = self._client.create_run(self._experiment, tags={PLACE: self._place}, run_name=self._name)
        self._id = run.info.run_id


def open_tracker(run: Path, out: Path) -> MlflowRun:
    """Open a run of MLflow in the folder `out`, or where MLFLOW_TRACKING_URI says."""
    return MlflowRun(run, out)


def describe(out: Path) -> str:
    """Say where the copies are, and how to look at them."""
    if _is_local():
        return f"in {out}; look at them with: mlflow ui --backend-store-uri {_address(out)}"
    place = without_password(_address(out))
    return f'in {place}; look at them with: mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'


def _is_local() -> bool:
    return not os.environ.get("MLFLOW_TRACKING_URI")


def _address(out: Path) -> str:
    return f"sqlite:///{(out / DATABASE).resolve()}" if _is_local() else os.environ["MLFLOW_TRACKING_URI"]


def _clean(name: str) -> str:
    """Return a name in the characters that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name)
