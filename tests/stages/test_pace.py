"""What a stage says before and after its work: how much, how long, where the result is, the number that matters."""

import json
import re
import shutil
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


def test_how_long_it_takes_is_told_from_a_run_beside_it_by_the_step(workspace, udaseg):
    took("runs/tiny/warmup", 100.0)
    outcome = udaseg("warmup --run runs/other --steps 12 --dry-run")
    said = (
        "warmup: would run into runs/other/warmup: it has not been run; 12 steps, about 5 min, as in runs/tiny/warmup"
    )
    assert first(outcome, "warmup") == said
    assert not Path("runs/other").exists()


def test_the_stage_itself_is_the_best_witness(workspace, udaseg):
    shutil.copytree("runs/tiny/predict", "runs/older/predict")
    took("runs/older/predict", 5.0)
    took("runs/tiny/predict", 64.0)
    assert first(udaseg("predict --dry-run --force"), "predict").endswith("about 64 s, as in runs/tiny/predict")


def test_a_neighbour_that_is_damaged_is_no_witness_and_no_trouble(workspace, udaseg):
    for name, text in (("a", "{"), ("b", "{}"), ("c", "[]")):
        Path("runs", name, "predict").mkdir(parents=True)
        Path("runs", name, "predict", "manifest.json").write_text(text)
    took("runs/tiny/predict", 64.0)
    outcome = udaseg("predict --run runs/new --model runs/tiny/warmup --dry-run")
    assert first(outcome, "predict").endswith("about 64 s, as in runs/tiny/predict"), outcome.err


def test_what_took_another_amount_of_work_is_no_witness(workspace, udaseg):
    for words in ("--batch 3", "--set source.size=[64,128]", "--set source.limit=2"):
        said = first(udaseg(f"warmup {words} --dry-run"), "warmup")
        assert re.search(r"; 4 steps \(--estimate", said), said
