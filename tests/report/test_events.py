"""What TensorBoard reads of a run."""

import json
import warnings

import pytest

from udaseg.errors import UdasegError
from udaseg.report import tensorboard
from udaseg.report.tensorboard import Events

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder):
    """Give the numbers that TensorBoard finds: {name: {step: value}}."""
    found = EventAccumulator(str(folder)).Reload()
    return {name: {one.step: one.value for one in found.Scalars(name)} for name in found.Tags()["scalars"]}


@pytest.fixture
def run(fake_run):
    return fake_run(classes=("road", "sky"))


def test_losses_are_there_at_their_steps(run, tmp_path):
    run.training("warmup", steps=20)
    written = Events(run.root, tmp_path / "events")
    assert written.update() == 4 * 3  # loss, source, adversary and lr at the steps 0, 10 and 20
    written.close()
    found = read(tmp_path / "events/warmup")
    assert found["adversary"] == pytest.approx({0: 0.69, 10: 0.69, 20: 0.69})
    assert list(found["loss"]) == [0, 10, 20]


def test_scores_are_there_by_class_and_round(run, tmp_path):
    run.evaluate("evaluate", [0.5, None])
    Events(run.root, tmp_path / "events").update()
    found = read(tmp_path / "events/evaluate")
    assert found["miou"] == {0: 0.5}
    assert found["iou/road"] == {0: 0.5}
    assert "iou/sky" not in found


def test_a_training_is_followed_and_what_was_taken_back_is_gone(run, tmp_path):
    folder = run.training("warmup", steps=20)
    (folder / "manifest.json").unlink()
    written = Events(run.root, tmp_path / "events")
    written.update()
    assert written.update() == 0
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 30, "loss": 0.25, "lr": 0.1}) + "\n")
    assert written.update() == 2  # the loss and the learning rate
    lines = (folder / "log.jsonl").read_text().splitlines()
    (folder / "log.jsonl").write_text(lines[0] + "\n" + json.dumps({"step": 10, "loss": 0.125, "lr": 0.1}) + "\n")
    written.update()
    written.close()
    assert read(tmp_path / "events/warmup")["loss"][10] == 0.125
    assert max(read(tmp_path / "events/warmup")["loss"]) == 10


def test_writing_again_leaves_one_curve_and_files_of_others_alone(run, tmp_path):
    run.training("warmup", steps=20)
    (tmp_path / "events/warmup").mkdir(parents=True)
    (tmp_path / "events/warmup/events.out.tfevents.1.mine").touch()
    for _ in range(2):
        written = Events(run.root, tmp_path / "events")
        written.update()
        written.close()
    assert len(list((tmp_path / "events/warmup").iterdir())) == 2
    assert len(list((tmp_path / "events/warmup").glob("*.udaseg"))) == 1


def test_a_missing_tensorboard_is_named_with_the_way_to_get_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UdasegError, match="tensorboard is not installed") as caught:
        Events(run.root, tmp_path)
    assert caught.value.hint == "pip install 'udaseg[tensorboard]'"
