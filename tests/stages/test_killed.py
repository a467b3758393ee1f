"""Stages that are stopped in the middle go on, to the bytes of a run that was left alone."""

import os
import signal
import threading
from pathlib import Path

import pytest

from udaseg.train import loop


def stems(folder: str) -> set[str]:
    return {path.name for path in Path(folder).rglob("*.png") if not path.name.startswith(".")}


@pytest.fixture
def digest(finished, manifest):
    """Give the digest of what a stage of the finished run has written."""
    return lambda stage: manifest(finished / "runs" / "tiny" / stage)["outputs"]["digest"]


def assert_same_training(folder: Path, alone: Path) -> None:
    """Compare weight for weight and byte for byte, the optimizer's state included."""
    for name in ("model.pt", "log.jsonl", "state.pt"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes(), name


def test_training_that_was_killed_ends_in_the_same_weights(rendered, finished, udaseg, killed):
    killed("warmup", "*state.pt", 1)  # in the middle of saving the second state
    assert not Path("runs/tiny/warmup").exists()
    assert not Path("runs/tiny/warmup.partial/model.pt").exists()
    assert "runs/tiny/warmup is unfinished" in udaseg("predict").err
    outcome = udaseg("warmup")
    assert outcome.code == 0
    assert "warmup: continues in runs/tiny/warmup: it is unfinished" in outcome.err
    assert_same_training(Path("runs/tiny/warmup"), finished / "runs" / "tiny" / "warmup")
    assert [path for path in Path("runs/tiny").rglob("*") if "partial" in path.name] == []


@pytest.mark.parametrize(
    "command",
    [
        "evaluate --model runs/tiny/warmup.partial",
        "predict --model runs/tiny/warmup.partial/model.pt",
        "export runs/tiny/warmup.partial --format torch --out m.pt2",
    ],
)
def test_a_model_that_is_named_is_not_read_before_it_is_finished(workspace, udaseg, command):
    """Its statistics of the target may be missing still: they come last."""
    stage = Path("runs/tiny/warmup").rename("runs/tiny/warmup.partial")
    (stage / "manifest.json").rename(stage / "partial.json")
    outcome = udaseg(command, tiny=not command.startswith("export"))
    assert outcome.code == 1
    assert "runs/tiny/warmup.partial is unfinished, and this reads runs/tiny/warmup.partial/model.pt" in outcome.err


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_training_that_is_told_to_stop_says_so_and_continues(workspace, finished, udaseg, monkeypatch, sent):
    def stopping(step, settings):
        if step == 0:
            os.kill(os.getpid(), sent)
        return poly(step, settings)

    poly = loop.poly
    monkeypatch.setattr(loop, "poly", stopping)
    outcome = udaseg("retrain --force")
    assert outcome.code == 130
    assert "retrain: stopped after step 1 of 3; the state is saved; the same command continues" in outcome.err
    assert "Traceback" not in outcome.err
    monkeypatch.setattr(loop, "poly", poly)
    assert not Path("runs/tiny/retrain.partial/model.pt").exists()
    outcome = udaseg("retrain")
    assert "retrain: continues in" in outcome.err
    assert_same_training(Path("runs/tiny/retrain"), finished / "runs" / "tiny" / "retrain")


CASES = [
    ("stylize", "*/stylize.partial/images/*.png", 2),
    ("pseudolabel", "*/pseudolabel.partial/labels/*.png", 2),
    ("refine", "*/refine.partial/labels/*.png", 3),
]


@pytest.mark.parametrize(("command", "pattern", "spared"), CASES)
def test_stages_that_work_picture_by_picture_keep_what_was_done(
    workspace, udaseg, killed, manifest, digest, command, pattern, spared
):
    killed(f"{command} --force", pattern, spared)
    folder = Path("runs/tiny", command)
    partial = Path(f"{folder}.partial")
    assert not (partial / "manifest.json").exists()
    inodes = {path.relative_to(partial): path.stat().st_ino for path in partial.rglob("*.png") if "/." not in str(path)}
    assert len({name for name in inodes if "images" in str(name) or command != "stylize"}) == spared
    assert manifest(folder)["outputs"]["digest"] == digest(command)
    outcome = udaseg(command)
    assert outcome.code == 0
    assert f"{command}: continues in {folder}: it is unfinished" in outcome.err
    assert {name: (folder / name).stat().st_ino for name in inodes} == inodes
    assert manifest(folder)["outputs"]["digest"] == digest(command)


def test_predictions_keep_the_pictures_that_were_done(workspace, udaseg, killed, manifest, digest):
    killed("predict --force", "*.part", 3)
    parts = sorted(Path("runs/tiny/predict.partial/parts").glob("[!.]*"))
    assert len(parts) == 3
    outcome = udaseg("predict")
    assert "predict: continues in runs/tiny/predict" in outcome.err
    assert manifest("runs/tiny/predict")["outputs"]["digest"] == digest("predict")
    assert not Path("runs/tiny/predict/parts").exists()


def test_rendering_that_was_killed_goes_on(finished, tmp_path, monkeypatch, udaseg, killed, manifest):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text((finished / "tiny.yaml").read_text())
    killed("stylize", "*/gta5/images/*.png", 2)
    outcome = udaseg("stylize")
    assert outcome.code == 0
    assert "data: continues in data/toytown: it is unfinished" in outcome.err
    there = manifest(finished / "data" / "toytown")
    assert manifest("data/toytown")["outputs"]["digest"] == there["outputs"]["digest"]


def test_two_at_once_are_kept_apart(workspace, udaseg, monkeypatch):
    """The second of two equal commands is told who holds the directory."""
    from udaseg.pseudo import passes

    begun, go_on = threading.Event(), threading.Event()
    write_label = passes.write_label

    def waiting(*arguments):
        begun.set()
        assert go_on.wait(60)
        write_label(*arguments)

    monkeypatch.setattr(passes, "write_label", waiting)
    from udaseg.stages import cli

    codes = []
    arguments = ["pseudolabel", "--force", "--recipe", "tiny.yaml"]
    first = threading.Thread(target=lambda: codes.append(cli.run(arguments)))
    first.start()
    try:
        assert begun.wait(60)
        outcome = udaseg("pseudolabel --force")
    finally:
        go_on.set()
        first.join()
    assert codes == [0]
    assert outcome.code == 1
    assert "runs/tiny/pseudolabel is in use by another udaseg (process" in outcome.err
    assert "wait for it, stop it" in outcome.err
