"""TensorBoard: event files `out/<run>/<stage>/events.out.tfevents.*.udaseg`, a folder for each stage."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
SUFFIX = ".udaseg"  # of the event files that udaseg writes


class EventFiles:
    """The event files of a run. Those that udaseg wrote earlier are written again, others stay."""

    def __init__(self, out: Path):
        self._out = out
        self._writers: dict[str, Any] = {}

    def settings(self, stage: str, values: Mapping[str, Any]) -> None:
        lines = [f"    {key}: {json.dumps(value)}" for key, value in values.items()]  # four spaces: code in Markdown
        self._writer(stage).add_text("settings", "\n".join(lines))

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer(stage).add_scalar(name, value, step)

    scores = scalars

    def restart(self) -> None:
        self.close()
        self._writers = {}

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, stage: str) -> Any:
        if stage not in self._writers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of TensorBoard about its own imports
                from torch.utils.tensorboard import SummaryWriter

            folder = self._out / stage
            for before in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
                before.unlink()
            self._writers[stage] = SummaryWriter(str(folder), filename_suffix=SUFFIX)
        return self._writers[stage]


def open_tracker(run: Path, out: Path) -> EventFiles:
    """Open the event files of a run in the folder `out`."""
    return EventFiles(out / run.resolve().name)


def describe(out: Path) -> str:
    """Say where the copies are, and how to look at them."""
    return f"in {out}; look at them with: tensorboard --logdir {out}"
