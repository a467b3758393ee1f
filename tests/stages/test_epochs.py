"""A training that is told in epochs: every command knows its number of steps."""

from pathlib import Path

EPOCHS = "--set retrain.steps=null --set retrain.epochs="
JOINT = "--set retrain.draw=joint"


def test_epochs_are_as_many_steps_as_their_images_make_batches(workspace, udaseg, manifest):
    """The tiny run has 6 source and 5 target images, and trained 3 steps of 2 + 2: one epoch of the target."""
    same = udaseg(f"retrain {EPOCHS}1")
    assert (same.code, "up to date" in same.err) == (0, True)
    assert "retrain: would run" in udaseg(f"retrain {EPOCHS}2 --dry-run").err
    assert "6 steps" in udaseg(f"retrain {EPOCHS}2 --dry-run").err
    assert "12 steps" in udaseg(f"retrain {EPOCHS}2 {JOINT} --dry-run").err
    assert "8 steps" in udaseg(f"retrain {EPOCHS}2 {JOINT} --set retrain.source_fraction=0.5 --dry-run").err
    assert "6 steps on 5 target images" in udaseg(f"retrain {EPOCHS}1 {JOINT}").err
    written = manifest("runs/tiny/retrain")["settings"]["retrain"]
    assert (written["steps"], written["draw"], "epochs" in written) == (6, "joint", False)
    assert "up to date" in udaseg(f"retrain {EPOCHS}1 {JOINT} --dry-run").err


def test_epochs_count_the_images_that_have_a_label(workspace, udaseg):
    labels = sorted(Path("runs/tiny/refine/labels").glob("*.png"))
    Path("few/day").mkdir(parents=True)
    for path in labels[:3]:
        (Path("few/day") / f"{path.stem}_ids.png").write_bytes(path.read_bytes())
    assert "4 steps" in udaseg(f"retrain --labels few {EPOCHS}2 --dry-run").err
    refused = udaseg(f"retrain --labels nowhere {EPOCHS}2 --dry-run")
    assert (refused.code, "--labels nowhere" in refused.err) == (1, True)


def test_a_larger_part_of_the_source_in_a_later_round_makes_more_steps(workspace, udaseg):
    growing = "--set retrain.source_fraction=0.5 --set retrain.source_fraction_step=0.5 --set rounds=2"
    named = "--labels runs/tiny/refine/labels --model runs/tiny/warmup --run runs/two --set retrain.source=source"
    for number, steps in ((1, 4), (2, 6)):
        said = udaseg(f"retrain {growing} --round {number} {named} {JOINT} {EPOCHS}1 --dry-run").err
        assert f"round{number}/retrain" in said
        assert f"{steps} steps" in said
