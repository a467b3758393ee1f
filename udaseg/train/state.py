"""Everything that a training run needs to go on as if it had never stopped."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from udaseg.errors import UdasegError
from udaseg.files import atomic


def save(path: Path, step: int, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> None:
    """Write the state after `step` steps, in one piece."""
    state = {
        "step": step,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
    }
    # Through an open file: given a path, torch writes the temporary name into the archive.
    with atomic(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def restore(path: Path, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> int:
    """Load the state into the modules and optimizers; return the number of steps done, 0 without a file."""
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        return int(state["step"])
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UdasegError(f"cannot continue from {path}: {reason}", "start the stage over with --force") from error


def last_loss(log: Path) -> dict[str, float]:
    """Give the `loss` that a training stage ended with; nothing of one that took no step."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return {"loss": json.loads(lines[-1])["loss"]} if lines else {}


class Log:
    """log.jsonl: one line every few steps; without times, so that a resumed run writes the same bytes."""

    def __init__(self, path: Path, step: int):
        """Keep the lines up to `step`; the ones after it are written again."""
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def write(self, values: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
