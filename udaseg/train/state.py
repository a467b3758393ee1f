"""The state of a training on disk: with it, a stopped training continues to the same numbers."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.models import tensorfile

AGAIN = "start the stage over with --force"


def save(path: Path, step: int, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> None:
    """Write the state after `step` steps in one piece: a reader finds the old file or the new one."""
    state = {
        "step": step,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimizers": {name: _with_new_names(optimizer.state_dict()) for name, optimizer in optimizers.items()},
    }
    # Through an open file: given a path, torch writes the temporary name into the archive.
    with atomic(path) as temporary, temporary.open("wb") as file:
        tensorfile.write(state, file)


def _with_new_names(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an optimizer with interned names, as before it was ever saved and restored.

    Restored names are equal but other objects, and pickle would write each of them again: other bytes.
    """
    values = {key: {sys.intern(name): value for name, value in item.items()} for key, item in state["state"].items()}
    return state | {"state": values}


def restore(path: Path, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> int:
    """Load the state into the modules and optimizers; return its number of steps, 0 where there is no file.

    Raises UdasegError for a damaged file, or one of another training.
    """
    if not path.exists():
        return 0
    try:
        state = tensorfile.read(path)
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
            _match_strides(optimizer)
        return int(state["step"])
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UdasegError(f"cannot continue from {path}: {reason[:500]}", AGAIN) from error


def _match_strides(optimizer: Optimizer) -> None:
    """Give the averages of gradients the memory layout of their parameters, which may be another on this machine.

    A fused optimizer reads both in one pass over memory.
    """
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
