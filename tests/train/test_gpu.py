"""Trainings on a CUDA device: `pytest tests -m gpu`. Tests of several processes need a device for each."""

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from udaseg.models import checkpoint, devices
from udaseg.train import loop

from .every_objective import TRAININGS
from .test_together import PROGRAM, train

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).parent.parent.parent


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", TRAININGS)
def test_no_step_waits_for_the_device(tmp_path, monkeypatch, name):
    """PyTorch raises where the host waits, in all steps but the first, which may fill tables that stay."""
    poly, save = loop.poly, loop.check_finite

    def begin(step, settings):
        torch.cuda.set_sync_debug_mode("error" if step else "default")
        return poly(step, settings)

    def end(*arguments):
        torch.cuda.set_sync_debug_mode("default")
        return save(*arguments)

    monkeypatch.setattr(loop, "poly", begin)
    monkeypatch.setattr(loop, "check_finite", end)
    try:
        TRAININGS[name](tmp_path)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(lines(tmp_path)) == 2


@pytest.mark.parametrize("name", TRAININGS)
def test_the_first_losses_are_about_those_of_a_cpu(tmp_path, monkeypatch, name):
    """In float32, from the same weights and the same batch. Of what is counted, a few pixels are at their threshold."""
    for folder in ("gpu", "cpu"):
        (tmp_path / folder).mkdir()
        if folder == "cpu":
            monkeypatch.setattr(devices, "choose", lambda: torch.device("cpu"))
        TRAININGS[name](tmp_path / folder)
    gpu, cpu = (lines(tmp_path / folder)[0] for folder in ("gpu", "cpu"))
    assert gpu == pytest.approx(cpu, rel=0.05, abs=0.01)
    assert all(math.isfinite(value) for value in gpu.values())


@pytest.mark.parametrize("name", ["plain", "output", "retrained by domain", "timm, activations twice"])
def test_two_gpus_take_the_steps_of_one(tmp_path, name):
    """With DistributedDataParallel and SyncBatchNorm of PyTorch."""
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device, and two processes need two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    program = [sys.executable, "-c", PROGRAM, str(tmp_path / "two"), name]
    running = [
        subprocess.Popen(program, env=os.environ | place | {"RANK": rank, "LOCAL_RANK": rank}, cwd=ROOT)
        for rank in "01"
    ]
    assert [process.wait(timeout=250) for process in running] == [0, 0]
    train(name, tmp_path / "one")
    for alone, shared in zip(lines(tmp_path / "one"), lines(tmp_path / "two" / name), strict=True):
        assert shared == pytest.approx(alone, rel=1e-3, abs=1e-5)
    (model, _), (other, _) = (
        checkpoint.load(folder / "model.pt") for folder in (tmp_path / "one", tmp_path / "two" / name)
    )
    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=1e-3, atol=1e-4)
