"""Everything that a training run needs to go on as if it had never stopped."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from udaseg.errors import UdasegError
from udaseg.io.documents.lines import read_log
from udaseg.io.files import atomic
from udaseg.models import tensorfile

AGAIN = "start the stage over with --force"


def save(path: Path, step: int, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> None:
    """Write the state after `step` steps, in one piece."""
    state = {
        "step": step,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimizers": {name: _fresh(optimizer.state_dict()) for name, optimizer in optimizers.items()},
    }
    # Through an open file: given a path, torch writes the temporary name into the archive.
    with atomic(path) as temporary, temporary.open("wb") as file:
        tensorfile.write(state, file)


def _fresh(state: dict[str, Any]) -> dict[str, Any]:
    """Give the state of an optimizer with the names that one has which was never restored.

    Restored names are equal and not the same objects, and pickle would write them once more: other bytes.
    """
    values = {place: {sys.intern(name): value for name, value in own.items()} for place, own in state["state"].items()}
    return state | {"state": values}


def restore(path: Path, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> int:
    """Load the state into the modules and optimizers; return the number of steps done, 0 without a file."""
    if not path.exists():
        return 0
    try:
        state = tensorfile.read(path)
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
            _lay_out(optimizer)
        return int(state["step"])
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UdasegError(f"cannot continue from {path}: {reason[:500]}", AGAIN) from error


def _lay_out(optimizer: Optimizer) -> None:
    """Lay averages of gradients out in memory as their parameters lie there, whatever machine they come from.

    A fused optimizer walks through all of them side by side.
    """
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def last_loss(log: Path) -> dict[str, float]:
    """Give the `loss` that a training stage ended with; nothing of one that took no step.

    Raises UdasegError where the log does not say it.
    """
    records = read_log(log, AGAIN)
    if records and not math.isfinite(records[-1].get("loss", math.nan)):
        raise UdasegError(f"{log}: its last line has no loss", AGAIN)
    return {"loss": records[-1]["loss"]} if records else {}


class Log:
    """log.jsonl: one line every few steps; without times, so that a resumed run writes the same bytes."""

    def __init__(self, path: Path, step: int):
        """Keep the lines up to `step`; the ones after it are written again."""
        self._path = path
        records = read_log(path, AGAIN, torn=True) if path.exists() else []
        kept = [record for record in records if record["step"] <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def write(self, values: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
