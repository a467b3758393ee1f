"""What a stage says before and after its work: how much, how long, where the result is, the number that matters."""

import json
from pathlib import Path


def first(outcome, stage):
    return next(line for line in outcome.err.splitlines() if line.startswith(f"{stage}: "))


def took(folder, seconds):
    path = Path(folder, "manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": seconds}))


def test_a_training_says_its_steps_and_in_the_end_its_loss(rendered, udaseg, manifest):
    outcome = udaseg("warmup")
    assert (
        first(outcome, "warmup")
        == "warmup: runs in runs/tiny/warmup: it has not been run; 4 steps (--estimate tells how long they take)"
    )
    loss = manifest("runs/tiny/warmup")["metrics"]["loss"]
    last = outcome.err.splitlines()[-1]
    assert last == f"warmup: 4 steps on 6 images, the last loss is {loss:.3g}; the model is runs/tiny/warmup/model.pt"


def test_the_time_of_the_last_run_is_told_by_the_step(workspace, udaseg):
    took("runs/tiny/warmup", 100.0)
    outcome = udaseg("warmup --steps 12 --dry-run")
    expected = "warmup: would run into runs/tiny/warmup: warmup.steps: 4 -> 12; 12 steps, about 5 min, as the last time"
    assert first(outcome, "warmup") == expected
    took("runs/tiny/predict", 64.0)
    assert first(udaseg("predict --dry-run --force"), "predict").endswith("; about 64 s, as the last time")


def test_a_stage_without_a_last_run_says_how_to_find_out(workspace, udaseg):
    said = first(udaseg("warmup --run runs/other --dry-run"), "warmup")
    assert said.endswith("; 4 steps (--estimate tells how long they take)")
    assert not Path("runs/other").exists()
