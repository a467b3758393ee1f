"""A profile is read: the biggest operators, the waits of the host, and all figures of one step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

BENCH = Path(__file__).parent / "bench"


@pytest.fixture
def read(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import profile_read

    return profile_read.read


def test_a_product_is_the_biggest_operator_and_a_value_that_is_read_is_a_wait(read):
    one = torch.rand(256, 256)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(4):
            (one @ one).sum().item()
            (one @ one).add(1)
    found = read(profiled.key_averages(), 4, "cpu")
    name, ms, calls = found["operators"][0]
    assert (name, calls) == ("aten::mm", 2)
    assert found["waits"] == {"aten::_local_scalar_dense": 1}
    assert 0 < ms < found["kernel_ms"]


def test_the_steps_of_a_tiny_training_are_profiled(tmp_path):
    out = tmp_path / "tiny.json"
    program = [sys.executable, BENCH / "profile_steps.py", "--network", "tiny", "--steps", "1", "--out", out]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    result = json.loads(out.read_text())
    assert result["operations_a_step"] > 1e6
    assert result["images_per_second"] > 0
    assert 0 < result["kernel_ms"] / 1e3 < 10 * result["seconds_a_step"]
    assert any("convolution" in name for name, *_ in result["operators"])
    assert "tiny, labels, 64x64, compile=none, cpu:" in done.stdout
