"""Full disks, places that cannot be written, inputs that go away: one error, and the same bytes once it is mended."""

import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def space(largest: int):
    """Let no file grow beyond so many bytes: as a full disk or a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FULL = [("predict", 5000), ("predict", 2000), ("prototypes", 1000), ("pseudolabel", 200), ("evaluate", 1500),
        ("retrain", 100_000), ("retrain", 600_000), ("report", 20_000)]  # fmt: skip


@pytest.mark.parametrize(("command", "largest"), FULL)
def test_a_full_disk_is_one_error_and_nothing_is_lost(workspace, finished, udaseg, manifest, command, largest):
    folder = Path("runs/tiny", command)
    shutil.rmtree(folder)
    with space(largest):
        outcome = udaseg(command)
    assert (outcome.code, outcome.err.count("error: ")) == (1, 1)
    assert "cannot read or write" in outcome.err
    assert "File too large" in outcome.err
    assert "Traceback" not in outcome.err
    assert not (folder / "manifest.json").exists()
    assert [path for path in folder.parent.rglob("*") if path.name.startswith(".partial")] == []
    assert udaseg(command).code == 0
    expected = manifest(finished / folder)["outputs"]
    assert manifest(folder)["outputs"]["count"] == expected["count"]
    if command != "report":  # which shows the times of the others
        assert manifest(folder)["outputs"]["digest"] == expected["digest"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a place that nobody can write to is needed")
@pytest.mark.parametrize("command", ["predict", "report"])
def test_a_place_that_cannot_be_written_is_named(workspace, udaseg, command):
    outcome = udaseg(f"{command} --out /proc/{command}")
    assert outcome.code == 1
    assert f"error: cannot read or write /proc/{command}" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_directory_is_named(workspace, udaseg):
    Path("shut").mkdir(mode=0o500)
    outcome = udaseg("predict --out shut/predict")
    assert (outcome.code, "error: cannot read or write shut" in outcome.err) == (1, True)


def test_a_picture_that_vanishes_while_the_stage_runs_is_named(workspace, udaseg, monkeypatch):
    from udaseg.inference.runner import Runner

    def vanishing(self, images, indices, *rest, **named):
        path = images.images.records[indices[-1]].image
        path.unlink()
        yield from run(self, images, indices, *rest, **named)

    run = Runner.run
    monkeypatch.setattr(Runner, "run", vanishing)
    outcome = udaseg("predict --force")
    assert (outcome.code, outcome.err.count("error: ")) == (1, 1)
    assert "_leftImg8bit.png" in outcome.err
    assert "nothing was written: runs/tiny/predict is as it was before" in outcome.err
    assert "has changed" in udaseg("predict --dry-run").err


def test_an_input_that_changes_is_noticed(workspace, udaseg):
    path = Path("runs/tiny/prototypes/prototypes.h5")
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    outcome = udaseg("prototypes --dry-run")
    assert "its outputs have changed since they were written" in outcome.err
    other = Path("runs/tiny/warmup/model.pt")
    data = other.read_bytes()
    other.unlink()
    other.write_bytes(data + b"\0")
    assert "input model (runs/tiny/warmup/model.pt) has changed" in udaseg("evaluate --model warmup --dry-run").err


def test_a_command_that_needs_more_data_than_the_chain_says_what(workspace, udaseg):
    shutil.rmtree("data/toytown/cityscapes/gtFine")
    outcome = udaseg("evaluate --force --set chain=[warmup]")
    assert outcome.code == 1
    said = outcome.err.split("error: ")[1]
    assert "gtFine" in said.splitlines()[0]
    assert "hint: " in said
    assert "the data cannot be used:\n\n" not in said


def test_a_run_in_the_place_of_a_model_is_told_its_last_one(workspace, udaseg):
    outcome = udaseg("apply runs/tiny data/toytown/gta5/images --out labelled", tiny=False)
    assert outcome.code == 1
    assert "retrain stage: the last one of this run is runs/tiny/retrain\n" in outcome.err
