"""--estimate: what a stage will take, from a few of its images or steps, and nothing left behind."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from udaseg.pipeline import estimate

STAGES = (
    "warmup", "stylize", "predict", "pseudolabel", "refine", "prototypes", "gmm", "evaluate --model warmup", "report",
)  # fmt: skip


@pytest.fixture
def hurried(monkeypatch, tmp_path):
    """Be content with the first sample that is larger than the smallest; give where samples are made."""
    monkeypatch.setattr(estimate, "LONGER", -1e9)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def files(place):
    return {path: path.stat().st_mtime_ns for path in Path(place).rglob("*")}


@pytest.mark.parametrize("stage", STAGES)
def test_the_disk_is_told_within_a_factor_of_two_and_nothing_is_left(workspace, udaseg, hurried, stage):
    before = files(".")
    told = udaseg(f"{stage} --estimate --json").json
    assert files(".") == before
    assert not list(hurried.iterdir())
    folder = "evaluate-warmup" if stage.startswith("evaluate") else stage
    written = sum(path.stat().st_size for path in Path("runs/tiny", folder).rglob("*") if path.is_file())
    assert written / 2 < told["disk_bytes"] < 2 * written
    assert told["seconds"] > 0
    assert told["memory_bytes"] > 1e8
    assert told["stage"] == stage.split()[0]


def test_it_says_of_how_much_work_and_how_long_with_units(workspace, udaseg, hurried):
    said = udaseg("stylize --estimate").out.replace("\n", " ")
    work, taken = said.split(": about ")
    assert work == "stylize: 6 images"
    seconds, disk, memory = taken.strip().split(", ")
    assert seconds.split()[1:] in (["s"], ["min"])
    assert disk.split()[1:] == ["kB", "on", "disk"]
    assert memory.split()[1:] in (["MB", "of", "memory"], ["GB", "of", "memory"])


def test_steps_and_pictures_are_counted_as_they_are_and_not_as_the_sample_has_them(workspace, udaseg, hurried):
    told = udaseg("predict --estimate --json").json
    assert (told["images"], told["sample"]) == (5, {"images": 3})
    epochs = "--set retrain.steps=null --set retrain.epochs=400000"  # of 3 batches with the 5 target images
    told = udaseg(f"retrain {epochs} --estimate --json").json
    assert (told["steps"], told["sample"]) == (1_200_000, {"steps": 3})
    assert "images" not in told


def test_what_has_to_be_made_first_is_named(rendered, udaseg, hurried):
    outcome = udaseg("retrain --estimate")
    assert outcome.code == 1
    assert "run first: udaseg refine" in outcome.err
    assert not Path("runs").exists()


def test_a_stage_that_another_one_needs_is_planned(workspace, udaseg, hurried):
    outcome = udaseg("pseudolabel --run runs/other --estimate")
    assert outcome.code == 1
    assert "udaseg warmup" in outcome.err
    outcome = udaseg("retrain --estimate", "--set", "retrain.source=stylize", "--set", "stylize.beta=0.05")
    assert (outcome.code, outcome.out) == (0, "")
    assert "stylize: would run into runs/tiny/stylize: stylize.beta: " in outcome.err
    assert outcome.err.endswith("retrain: would run after that\n")


def test_the_memory_of_a_gpu_has_the_context_in_it(monkeypatch, tmp_path):
    told = tmp_path / "nvidia-smi"
    told.write_text("#!/bin/sh\necho 'GPU-a, 1000'\necho 'GPU-b, 3500'\n")
    told.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert estimate._memory_in_use_of_gpus() == {"GPU-a": 1000 << 20, "GPU-b": 3500 << 20}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="b"))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2000 << 20)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 2400 << 20)
    _, tensors, context = estimate._peak_memory({"GPU-a": 1000 << 20, "GPU-b": 1100 << 20})
    assert (tensors, context) == (2400 << 20, 400 << 20)
    told.write_text("#!/bin/sh\nexit 9\n")
    assert estimate._peak_memory({"GPU-a": 0, "GPU-b": 0})[1:] == (2400 << 20, None)


def test_a_context_of_unknown_size_is_named():
    cost = estimate.Estimate("warmup", {"steps": 5}, {}, 1.0, 10, 100, 10**9, 2 * 10**9, False)
    assert cost.text().endswith("2.0 GB on the GPU and that of the CUDA context, which nvidia-smi does not tell")
