"""Inside a step of training the host never waits for its device: that is asked of every objective, without a device."""

import pytest
import torch

from udaseg.train import loop

from ..far import on_far_device
from .every_objective import TRAININGS

STEP = "train/loop.py:fit"
SAVING = {"train/state.py:save", "models/tensorfile.py:check_finite"}


@pytest.mark.parametrize("name", TRAININGS)
def test_no_step_waits_for_the_device(tmp_path, monkeypatch, name):
    """The first step may fill tables that stay, and what is saved has to be read."""
    poly, begun = loop.poly, []

    def begin(step, settings):
        begun.append(len(waits))
        return poly(step, settings)

    monkeypatch.setattr(loop, "poly", begin)
    with on_far_device(monkeypatch) as waits:
        TRAININGS[name](tmp_path)
    assert len(begun) == 2
    later = [wait for wait in waits[begun[1] :] if STEP in wait.functions and not SAVING & set(wait.functions)]
    assert [(wait.operation, *wait.functions[: wait.functions.index(STEP)]) for wait in later] == []


def test_what_makes_a_host_wait_is_counted(monkeypatch):
    with on_far_device(monkeypatch) as waits:
        tensor = torch.zeros(4, device="cuda")
        for waiting in (
            lambda: float(tensor.sum()),
            lambda: bool(tensor.isfinite().all()),
            lambda: tensor[tensor > 0],
            lambda: tensor.tolist(),
            lambda: tensor.nonzero(),
            lambda: tensor.masked_select(tensor > 0),
            lambda: torch.tensor([1.0], device="cuda"),
            lambda: torch.ones(4).to("cuda"),
        ):
            waits.clear()
            waiting()
            assert waits
        waits.clear()
        torch.where(tensor > 0, tensor, 0).sum().to("cpu", non_blocking=True)
        tensor[torch.ones(1, dtype=torch.int64).to("cuda", non_blocking=True)] = 1
        assert waits == []
