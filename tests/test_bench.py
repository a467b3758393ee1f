"""`make bench` works; its figures are not tested."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench"


def test_the_bench_of_training_runs_and_writes_its_table(tmp_path):
    """This part calls the most of udaseg, and needs no package that is not installed."""
    out = tmp_path / "bench.json"
    subprocess.run([sys.executable, BENCH, "--size", "256x512", "--only", "training", "--out", out], check=True)
    results = json.loads(out.read_text(encoding="utf-8"))
    assert [row["network"] for row in results["training"]] == [
        "BiSeNet, ResNet-18", "FPN, EfficientNet-Lite0", "DeepLab-v2, ResNet-101",
    ]  # fmt: skip
    assert all(min(row["seconds_a_step"].values()) > 0 for row in results["training"])


def test_refuses_an_out_that_cannot_be_written_before_the_work(tmp_path):
    done = subprocess.run([sys.executable, BENCH, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"--out is {tmp_path}, expected a file in a folder that exists" in done.stderr
