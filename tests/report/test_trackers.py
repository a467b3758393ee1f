"""What TensorBoard, MLflow and Weights & Biases read of a run."""

import json
import os
import sys
import warnings
from importlib import import_module
from types import SimpleNamespace

import pytest

from udaseg.errors import UdasegError
from udaseg.report import trackers
from udaseg.report.trackers import Copy, tracker_module

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder):
    """Give the numbers that TensorBoard finds: {name: {step: value}}."""
    found = EventAccumulator(str(folder)).Reload()
    return {name: {one.step: one.value for one in found.Scalars(name)} for name in found.Tags()["scalars"]}


def events(run, folder):
    """Copy a run to event files in a folder, which are then in `folder/<run>/<stage>`."""
    return Copy(run.root, tracker_module("tensorboard").open_tracker(run.root, folder))


@pytest.fixture
def run(fake_run):
    return fake_run(classes=("road", "sky"))


def test_losses_are_there_at_their_steps(run, tmp_path):
    run.training("warmup", steps=20)
    written = events(run, tmp_path / "events")
    assert written.update() == 4 * 3  # loss, source, adversary and lr at the steps 0, 10 and 20
    written.close()
    found = read(tmp_path / "events" / run.root.name / "warmup")
    assert found["adversary"] == pytest.approx({0: 0.69, 10: 0.69, 20: 0.69})
    assert list(found["loss"]) == [0, 10, 20]


def test_scores_are_there_by_class_and_round(run, tmp_path):
    run.evaluate("evaluate", [0.5, None])
    events(run, tmp_path / "events").update()
    found = read(tmp_path / "events" / run.root.name / "evaluate")
    assert found["miou"] == {0: 0.5}
    assert found["iou/road"] == {0: 0.5}
    assert "iou/sky" not in found


def test_a_training_is_followed_and_what_was_taken_back_is_gone(run, tmp_path):
    folder = run.training("warmup", steps=20)
    (folder / "manifest.json").unlink()
    written = events(run, tmp_path / "events")
    written.update()
    assert written.update() == 0
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 30, "loss": 0.25, "lr": 0.1}) + "\n")
    assert written.update() == 2  # the loss and the learning rate
    lines = (folder / "log.jsonl").read_text().splitlines()
    (folder / "log.jsonl").write_text(lines[0] + "\n" + json.dumps({"step": 10, "loss": 0.125, "lr": 0.1}) + "\n")
    written.update()
    written.close()
    assert read(tmp_path / "events" / run.root.name / "warmup")["loss"][10] == 0.125
    assert max(read(tmp_path / "events" / run.root.name / "warmup")["loss"]) == 10


def test_writing_again_leaves_one_curve_and_files_of_others_alone(run, tmp_path):
    run.training("warmup", steps=20)
    (tmp_path / "events" / run.root.name / "warmup").mkdir(parents=True)
    (tmp_path / "events" / run.root.name / "warmup/events.out.tfevents.1.mine").touch()
    for _ in range(2):
        written = events(run, tmp_path / "events")
        written.update()
        written.close()
    assert len(list((tmp_path / "events" / run.root.name / "warmup").iterdir())) == 2
    assert len(list((tmp_path / "events" / run.root.name / "warmup").glob("*.udaseg"))) == 1


@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch, name):
    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    with pytest.raises(UdasegError, match=f"{name} is not installed") as caught:
        tracker_module(name)
    assert caught.value.hint == f"pip install 'udaseg[{name}]'"


def test_another_tracker_is_an_error_that_names_those_there_are():
    with pytest.raises(UdasegError, match="there is no tracker 'mlfow'") as caught:
        tracker_module("mlfow")
    assert "mlflow" in caught.value.hint


class Notes:
    """A tracker that keeps what it is told."""

    def __init__(self):
        self.told = []

    def settings(self, stage, values):
        self.told.append(("settings", stage, values["seed"]))

    def scalars(self, stage, step, values):
        self.told.append((stage, step, sorted(values)))

    scores = scalars

    def restart(self):
        self.told = []

    def flush(self):
        pass

    close = flush


def test_a_tracker_is_told_settings_once_and_numbers_by_step(run):
    run.training("warmup", steps=10)
    run.evaluate("evaluate", [0.5, 0.25])
    notes = Notes()
    copy = Copy(run.root, notes)
    assert copy.update() == 2 * 4 + 4
    assert notes.told.count(("settings", "warmup", 0)) == 1
    assert ("warmup", 10, ["adversary", "loss", "lr", "source"]) in notes.told
    assert ("evaluate", 0, ["iou/road", "iou/sky", "miou", "pixel_accuracy"]) in notes.told
    count = len(notes.told)
    assert (copy.update(), len(notes.told)) == (0, count)


def test_an_evaluation_that_is_done_again_is_copied_again(run):
    run.training("warmup", steps=10)
    run.evaluate("evaluate", [0.5, 0.25])
    notes = Notes()
    copy = Copy(run.root, notes)
    copy.update()
    run.evaluate("evaluate", [0.75, 0.25])  # at the same step
    assert copy.update() == 2 * 4 + 4
    assert notes.told.count(("evaluate", 0, ["iou/road", "iou/sky", "miou", "pixel_accuracy"])) == 1
    assert copy.update() == 0


def test_runs_of_one_path_on_two_machines_are_two_runs(monkeypatch, tmp_path):
    one = trackers.identity(tmp_path)
    assert one.endswith(f":{tmp_path}")
    monkeypatch.setattr(trackers.platform, "node", lambda: "another")
    assert trackers.identity(tmp_path) != one
    monkeypatch.setattr(trackers.getpass, "getuser", lambda: {}["nobody"])
    assert trackers.identity(tmp_path) == f"{os.getuid()}@another:{tmp_path}"


@pytest.fixture
def fake_packages(monkeypatch):
    """Stand in for MLflow and Weights & Biases; return what their clients were called with."""
    calls = []

    class Client:
        def __init__(self, tracking_uri):
            if "refused" in tracking_uri:
                raise ConnectionError(f"no answer from {tracking_uri}\nmore")

        def get_experiment_by_name(self, name):
            return SimpleNamespace(experiment_id="1")

        def search_runs(self, experiments, query):
            calls.append(query)
            return []

        def create_run(self, experiment, tags, run_name):
            calls.append(tags)
            return SimpleNamespace(info=SimpleNamespace(run_id="1"))

    def init(**options):
        calls.append(options)
        return SimpleNamespace()

    mlflow = SimpleNamespace(MlflowClient=Client)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", SimpleNamespace(Metric=tuple))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=dict))
    return calls


def test_mlflow_names_the_machine_and_no_password(fake_packages, monkeypatch, tmp_path):
    module = import_module("udaseg.report.trackers.mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@server/db")
    module.open_tracker(tmp_path, tmp_path)
    query, tags = fake_packages
    assert trackers.identity(tmp_path) in query
    assert tags == {"udaseg.run": trackers.identity(tmp_path)}
    assert module.describe(tmp_path).startswith("in postgresql://server/db; ")
    assert "secret" not in module.describe(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@refused")
    with pytest.raises(UdasegError) as caught, trackers.tracker_errors("mlflow"):
        module.open_tracker(tmp_path, tmp_path)
    assert caught.value.message == "mlflow failed: ConnectionError: no answer from https://refused"
    assert "MLFLOW_TRACKING_URI" in caught.value.hint


def test_weights_and_biases_overwrites_what_it_sent(fake_packages, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "online")
    module = import_module("udaseg.report.trackers.wandb")
    module.open_tracker(tmp_path, tmp_path)
    monkeypatch.setattr(trackers.platform, "node", lambda: "another")
    module.open_tracker(tmp_path, tmp_path)
    first, second = fake_packages
    assert first.get("resume") is None
    assert first["id"] != second["id"]


@pytest.mark.filterwarnings("ignore")  # of the packages, which are none of ours
def test_mlflow_has_numbers_settings_and_scores_in_a_local_database(run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    run.training("warmup", steps=20)
    run.evaluate("evaluate", [0.5, None])
    for _ in range(2):  # the second copy replaces the first
        copy = Copy(run.root, tracker_module("mlflow").open_tracker(run.root, tmp_path / "mlflow"))
        copy.update()
        copy.close()
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("udaseg")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == (run.root.name, "FINISHED")
    assert found.data.params["warmup/seed"] == "0"
    assert found.data.metrics["evaluate/miou"] == 0.5
    history = client.get_metric_history(found.info.run_id, "warmup/loss")
    assert sorted(one.step for one in history) == [0, 10, 20]
    assert (tmp_path / "mlflow").as_uri() in experiment.artifact_location


@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_writes_offline_and_replaces_its_earlier_copy(run, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    run.training("warmup", steps=20)
    run.evaluate("evaluate", [0.5, None])
    for _ in range(2):
        tracker = tracker_module("wandb").open_tracker(run.root, tmp_path / "wandb")
        copy = Copy(run.root, tracker)
        copy.update()
        assert tracker._run.offline
        assert tracker._run.summary["evaluate/miou"] == 0.5
        assert tracker._run.config["warmup/seed"] == 0
        copy.close()
    wandb.teardown()  # its process has written everything then
    (folder,) = (tmp_path / "wandb/wandb").glob("offline-run-*")
    (log,) = folder.glob("*.wandb")
    assert b"warmup/loss" in log.read_bytes()
