"""What is finished, and what a user has put beside it, is still there after a mistake."""

import json
from pathlib import Path

import pytest

from udaseg.train import loop

RUN = Path("runs/tiny")


@pytest.fixture
def stopping(monkeypatch):
    """Let a training be told to stop after its second step, when it has saved a state."""
    step_of, poly = 1, loop.poly

    def stopped(step, settings):
        if step == step_of:
            raise loop.Interrupted("stopped")
        return poly(step, settings)

    def patch():
        monkeypatch.setattr(loop, "poly", stopped)
        return lambda: monkeypatch.setattr(loop, "poly", poly)

    return patch


def test_a_model_outlives_a_mistaken_start_of_its_training(workspace, udaseg, stopping, monkeypatch):
    before = (RUN / "warmup" / "model.pt").read_bytes()
    going_on = stopping()
    outcome = udaseg("warmup --lr 0.5 --set warmup.save_every=1")
    assert outcome.code == 130
    assert "the same command continues; the earlier result in runs/tiny/warmup is as it was before" in outcome.err
    going_on()
    assert (RUN / "warmup" / "model.pt").read_bytes() == before
    assert "predict: up to date" in udaseg("predict").err
    assert "warmup: up to date" in udaseg("warmup").err
    assert (RUN / "warmup" / "model.pt").read_bytes() == before
    assert "warmup: continues in runs/tiny/warmup" in udaseg("warmup --lr 0.5 --set warmup.save_every=1").err


def test_notes_in_a_stage_are_the_users(workspace, udaseg):
    notes = RUN / "warmup" / "notes.txt"
    notes.write_text("the best so far")
    model = (RUN / "warmup" / "model.pt").stat().st_mtime_ns
    assert "warmup: up to date" in udaseg("warmup").err
    assert "predict: up to date" in udaseg("predict").err
    outcome = udaseg("warmup --steps 5")
    assert outcome.code == 1
    assert "is to be made again, and holds files that its stage has not written: notes.txt" in outcome.err
    assert notes.read_text() == "the best so far"
    assert (RUN / "warmup" / "model.pt").stat().st_mtime_ns == model


def test_a_dry_run_refuses_what_the_run_would(workspace, udaseg):
    Path("junk").mkdir()
    Path("junk/notes.txt").write_text("mine")
    for command in ("data make junk", "stylize --out junk"):
        for dry in ((), ("--dry-run",)):
            outcome = udaseg(command, *dry, tiny=command.startswith("stylize"))
            assert (outcome.code, "junk holds files that no stage has written" in outcome.err) == (1, True)


def test_the_state_of_a_finished_training_may_be_removed(workspace, udaseg):
    state = RUN / "warmup" / "state.pt"
    state.unlink()
    assert "warmup: up to date" in udaseg("warmup").err
    assert "predict: up to date" in udaseg("predict").err
    assert "warmup: runs" in udaseg("warmup --steps 5").err
    assert state.is_file()


def test_curves_for_tensorboard_in_a_stage_do_no_harm(workspace, udaseg):
    pytest.importorskip("tensorboard")
    assert udaseg("tensorboard runs/tiny --out runs/tiny/warmup", tiny=False).code == 0
    assert "warmup: up to date" in udaseg("warmup").err


def test_a_run_remembers_data_and_seed_where_the_recipe_alone_is_named(rendered, udaseg):
    Path("data/toytown").rename("data/own")
    assert udaseg("warmup --steps 1 --data data/own --seed 3").code == 0
    outcome = udaseg("warmup --steps 1 --dry-run")
    assert "runs/tiny goes on with what it was begun with: data data/own, seed 3" in outcome.err
    assert "warmup: up to date" in outcome.err
    assert "seed: 3 -> 4" in udaseg("warmup --steps 1 --dry-run --seed 4").err
    other = Path("tiny.yaml").rename("other.yaml")
    assert "goes on" not in udaseg(f"status --recipe {other} --run runs/tiny", tiny=False).err


@pytest.mark.parametrize("command", ["report", "evaluate"])
def test_what_looks_at_a_run_does_not_change_what_it_is_of(workspace, udaseg, command):
    before = (RUN / "run.json").read_text()
    assert udaseg(f"{command} --seed 7 --force").code == 0
    assert (RUN / "run.json").read_text() == before


@pytest.mark.parametrize(
    "damage", [None, "{", "[]", '{"recipe": 5, "scale": "toy", "data": "data/toytown", "seed": 0}']
)
def test_a_run_that_has_forgotten_its_recipe_asks_for_it(workspace, udaseg, damage):
    (RUN / "run.json").unlink()
    if damage is not None:
        (RUN / "run.json").write_text(damage)
    for command in ("predict", "status", "report"):
        outcome = udaseg(f"{command} --run runs/tiny", tiny=False)
        assert outcome.code == 1
        assert "run.json" in outcome.err
        assert "--run runs/tiny --recipe NAME" in outcome.err
    outcome = udaseg("predict --run runs/tiny")
    assert outcome.code == 0, outcome.err
    assert "predict: up to date" in outcome.err
    assert json.loads((RUN / "run.json").read_text())["recipe"].endswith("tiny.yaml")
    assert udaseg("predict --run runs/tiny", tiny=False).code == 0


def test_a_lost_manifest_is_asked_for_and_nothing_is_touched(workspace, udaseg):
    (RUN / "warmup" / "manifest.json").write_text("{")
    outcome = udaseg("warmup")
    assert outcome.code == 1
    assert "restore the file from a copy, or move runs/tiny/warmup away" in outcome.err
    assert (RUN / "warmup" / "model.pt").exists()


def test_labels_outlive_a_mistaken_start_of_apply(workspace, udaseg, monkeypatch):
    def stop(*values):
        raise KeyboardInterrupt

    photos = next(Path("data/toytown/cityscapes/leftImg8bit/val").iterdir())
    command = f"apply runs/tiny/warmup {photos} --out labelled"
    assert udaseg(command, tiny=False).code == 0
    before = {path: path.read_bytes() for path in Path("labelled/labels").iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr("udaseg.inference.apply.write_label", stop)
        assert udaseg(f"{command} --size own --force", tiny=False).code == 130
    outcome = udaseg(command, tiny=False)
    assert (outcome.code, "apply: up to date" in outcome.err) == (0, True)
    assert {path: path.read_bytes() for path in Path("labelled/labels").iterdir()} == before
