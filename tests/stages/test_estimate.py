"""--estimate: what a stage will take, from a few of its images or steps, and nothing left behind."""

import tempfile
from pathlib import Path

import pytest

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
    told = udaseg("retrain --steps 1000000 --estimate --json").json
    assert (told["steps"], told["sample"]) == (1_000_000, {"steps": 3})
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
