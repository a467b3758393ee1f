"""`make bench` works; what it says is not a test's business."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench"


def test_the_bench_of_training_runs_and_writes_its_table(tmp_path):
    """This part knows the most of udaseg from within, and needs no peer that has to be installed."""
    out = tmp_path / "bench.json"
    subprocess.run([sys.executable, BENCH, "--size", "256x512", "--only", "training", "--out", out], check=True)
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [row["network"] for row in found["training"]] == ["BiSeNet, ResNet-18", "DeepLab-v2, ResNet-101"]
    assert all(min(row["seconds_a_step"].values()) > 0 for row in found["training"])


def test_an_out_that_cannot_be_written_is_said_before_the_work(tmp_path):
    done = subprocess.run([sys.executable, BENCH, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"--out is {tmp_path}, expected a file in a folder that exists" in done.stderr
