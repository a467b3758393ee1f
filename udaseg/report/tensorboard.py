"""Write TensorBoard event files of a run from its logs and scores."""

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.report.run_data import Stage, read_stages

SUFFIX = ".udaseg"  # of the event files that udaseg writes


def require() -> None:
    """Raise UdasegError, with the command that installs it, where TensorBoard is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UdasegError("tensorboard is not installed", "pip install 'udaseg[tensorboard]'")


class Events:
    """The event files of a run: `out/<stage>/events.out.tfevents.*.udaseg`, a folder for each stage.

    `update` adds new numbers, so that a running training can be followed. Where a resumed training goes back to an
    earlier step, the event file of its stage is written again.
    """

    def __init__(self, run: Path, out: Path):
        require()
        self._run, self._out = run, out
        self._writers: dict[str, Any] = {}
        self._last: dict[tuple[str, str], float] = {}  # the last written step by stage and name

    def update(self) -> int:
        """Write new numbers and return their count. Raises UdasegError as `collect` does."""
        written = 0
        for stage in read_stages(self._run).stages:
            numbers = sorted(_numbers(stage), key=lambda number: number[1])
            newest = {name: step for name, step, _ in numbers}
            if any(step < self._last.get((stage.name, name), step) for name, step in newest.items()):
                self._restart(stage.name)
            for name, step, value in numbers:
                if step > self._last.get((stage.name, name), -1):
                    self._writer(stage.name).add_scalar(name, value, step)
                    self._last[stage.name, name] = step
                    written += 1
        for writer in self._writers.values():
            writer.flush()
        return written

    def close(self) -> None:
        """Finish all files."""
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

    def _restart(self, stage: str) -> None:
        self._writers.pop(stage).close()
        self._last = {key: step for key, step in self._last.items() if key[0] != stage}


def _numbers(stage: Stage) -> Iterator[tuple[str, int, float]]:
    """Yield the numbers of a stage as (name, step, value): its log, or its scores, whose step is the round."""
    for record in stage.log:
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float):
                yield name, record["step"], value
    if stage.kind == "evaluate" and stage.result:
        for name in ("miou", "miou16", "miou13", "pixel_accuracy"):
            if getattr(stage.result, name) is not None:
                yield name, stage.round, getattr(stage.result, name)
        for name, value in zip(stage.result.classes, stage.result.iou, strict=True):
            if value is not None:
                yield f"iou/{name}", stage.round, value
