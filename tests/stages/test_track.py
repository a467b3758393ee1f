"""The commands that copy runs to trackers."""

import shutil
from pathlib import Path

import pytest


def test_track_writes_what_tensorboard_writes(workspace, udaseg):
    pytest.importorskip("tensorboard")
    outcome = udaseg("track runs/tiny --to tensorboard", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "numbers of 1 run in runs/tensorboard; look at them with: tensorboard --logdir" in outcome.err
    same = udaseg("tensorboard runs/tiny --out other", tiny=False)
    assert "tensorboard: " in same.err

    def folders(place):
        return {path.parent.relative_to(place).as_posix() for path in Path(place).rglob("*.udaseg")}

    assert folders("runs/tensorboard") == folders("other") >= {"tiny/warmup", "tiny/retrain", "tiny/evaluate"}


def test_following_ends_with_ctrl_c(workspace, udaseg, monkeypatch):
    pytest.importorskip("tensorboard")
    from udaseg.stages.terminal import tracking

    looks = []

    def wait(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(tracking.time, "sleep", wait)
    outcome = udaseg("track runs/tiny --to tensorboard --follow", tiny=False)
    assert (outcome.code, len(looks)) == (0, 2)
    assert outcome.err.endswith("track: no longer followed\n")


def test_what_cannot_be_tracked_is_said(workspace, udaseg):
    shutil.copytree("runs/tiny/evaluate", "other/tiny/evaluate")
    for words, message in (
        ("runs/tiny --to comet", "there is no tracker 'comet'"),
        ("runs/tiny other/tiny --to tensorboard", "two of the runs have the same name"),
        ("runs/none --to tensorboard", "there is no such directory"),
    ):
        outcome = udaseg(f"track {words}", tiny=False)
        assert (outcome.code, message in outcome.err) == (1, True), outcome.err
    assert not Path("runs/tensorboard").exists()
