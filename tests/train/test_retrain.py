"""Retraining as a whole: the effect of its settings, and the errors for missing inputs."""

import json
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from udaseg import models
from udaseg.config import Augment, Model, Online, Predict, Retrain
from udaseg.data.image_sets import View
from udaseg.data.sources import subset
from udaseg.errors import UdasegError
from udaseg.inference import adabn
from udaseg.inference.last_models import earlier_models
from udaseg.io.documents.thresholds import Thresholds
from udaseg.labels import ClassSpace, class_space
from udaseg.models import checkpoint
from udaseg.train.retrain import InitialModel, PseudoLabels, retrain

SPACE = class_space(["road", "car", "sky"])
NETWORK = Model(name="fpn", backbone="resnet18", weights="none")
THRESHOLDS = Thresholds(
    policy="cbst", p=0.2, classes=["road", "car", "sky"], threshold=[0.9, 0.8, 1.0], predicted=[10_000, 5, 0],
    kept=[0, 0, 0], round=1,
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    stem: str


@dataclass(frozen=True)
class Pictures:
    records: tuple[Record, ...] = tuple(Record(f"{i}") for i in range(10))
    space: ClassSpace = SPACE

    def __len__(self):
        return len(self.records)

    def image(self, i):
        return np.random.default_rng(int(self.records[i].stem)).integers(0, 255, (64, 96, 3), np.uint8)

    def label(self, i):
        return np.full((64, 96), int(self.records[i].stem) % 3, np.uint8)


def train(out, initial=None, thresholds=THRESHOLDS, predict=None, network=NETWORK, progress=None, **settings):
    chosen = Retrain(**{"steps": 2, "batch": 2, "log_every": 1, "augment": Augment(crop=(32, 32)), **settings})
    out.mkdir(exist_ok=True)
    label = lambda stem: Pictures().label(int(stem))  # noqa: E731
    view, start = View(Pictures(), (64, 96)), None if initial is None else InitialModel(initial, predict)
    labels = PseudoLabels(label, thresholds)
    retrain(view, view, SPACE.classes, network, chosen, out, seed=3, labels=labels, initial=start, progress=progress)
    log = out / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(scope="module")
def initial(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.manual_seed(0)
    checkpoint.save(path, models.construct(NETWORK, 3), NETWORK, SPACE.classes)
    return path


def test_trains_with_soft_labels_mining_and_a_part_of_the_source(tmp_path, initial):
    settings = {"regulariser": "lrent", "mine": 0.8, "source_fraction": 0.1}
    first = train(tmp_path / "1", initial, **settings)
    assert [sorted(line) for line in first] == [["loss", "lr", "source", "step", "target"]] * 2
    assert train(tmp_path / "2", initial, **settings) == first
    assert (tmp_path / "1" / "model.pt").read_bytes() == (tmp_path / "2" / "model.pt").read_bytes()
    assert train(tmp_path / "3", initial) != first


def test_a_training_from_a_joint_list_goes_on_to_the_same_bytes(tmp_path, initial):
    settings = {"draw": "joint", "source_fraction": 0.3, "mine": 0.8, "regulariser": "mrkld", "save_every": 2}

    def stop(done, steps):
        if done == 3:
            raise KeyboardInterrupt

    alone = train(tmp_path / "1", initial, steps=5, **settings)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "2", initial, steps=5, progress=stop, **settings)
    assert train(tmp_path / "2", initial, steps=5, **settings) == alone
    assert (tmp_path / "1" / "model.pt").read_bytes() == (tmp_path / "2" / "model.pt").read_bytes()
    assert [sorted(line) for line in alone] == [["loss", "lr", "mrkld", "source", "step", "target"]] * 5


def test_mining_needs_the_counts_of_the_predictions(tmp_path):
    with pytest.raises(UdasegError, match="needs the pixel counts") as caught:
        train(tmp_path / "2", mine=0.8, thresholds=None)
    assert "--thresholds" in caught.value.hint


def test_a_network_that_strides_first_goes_on_to(tmp_path):
    """The weights of the recipe are not loaded again: here is no file of the published ones."""
    deeplab = Model(name="deeplab", backbone="resnet50", weights="none")
    first = models.construct(deeplab, 3)
    first.move_strides()
    checkpoint.save(tmp_path / "model.pt", first, deeplab, SPACE.classes)
    train(tmp_path / "1", tmp_path / "model.pt", network=deeplab.model_copy(update={"weights": "none.pth"}), steps=0)
    again, _ = checkpoint.load(tmp_path / "1/model.pt")
    assert again.stride_first
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(image).logits, first.eval()(image).logits)


def test_the_initial_model_has_the_statistics_that_the_labels_were_made_with(tmp_path, initial):
    (tmp_path / "model.pt").write_bytes(initial.read_bytes())
    adabn.estimate_target_statistics(tmp_path / "model.pt", View(Pictures(), (64, 96)), Retrain(batch=4, adabn=True))
    predict = Predict(batch=4, adabn=True)
    online = Online(scores="initial", pixels="unlabelled")
    for name, settings, expected in (("again", {"online": online}, tmp_path / "model.pt"), ("once", {}, initial)):
        train(tmp_path / name, initial, predict=predict, steps=0, **settings)
        found, wanted = (checkpoint.load(path)[0].state_dict() for path in (tmp_path / name / "model.pt", expected))
        assert all(torch.equal(found[key], wanted[key]) for key in wanted if key.endswith("running_mean"))


def test_the_initial_model_has_the_statistics_of_images_of_the_size_that_was_predicted(tmp_path, initial):
    (tmp_path / "adapted.pt").write_bytes(initial.read_bytes())
    predicted = View(Pictures(), (32, 48))
    adabn.estimate_target_statistics(tmp_path / "adapted.pt", predicted, Retrain(batch=4, adabn=True))
    start = InitialModel(initial, Predict(batch=4, adabn=True), predicted)
    online, crop = Online(scores="initial", pixels="unlabelled"), Augment(crop=(32, 32))
    settings = Retrain(steps=0, batch=2, online=online, augment=crop)
    retrain(None, View(Pictures(), (64, 96)), SPACE.classes, NETWORK, settings, tmp_path, seed=3, initial=start)
    found, wanted = (checkpoint.load(path)[0].state_dict() for path in (tmp_path / "model.pt", tmp_path / "adapted.pt"))
    assert all(torch.equal(found[key], wanted[key]) for key in wanted if key.endswith("running_mean"))


def test_heads_that_only_training_has_stay_in_the_initial_model(tmp_path):
    deep = Model(name="fpn", backbone="resnet18", weights="none", heads=("depth",))
    first = models.construct(deep, 3)
    checkpoint.save(tmp_path / "model.pt", first, deep, SPACE.classes)
    again = {"online": Online(scores="initial", pixels="unlabelled"), "predict": Predict(batch=4, adabn=True)}
    train(tmp_path / "1", tmp_path / "model.pt", network=deep, steps=0, **again)
    found, own = checkpoint.load(tmp_path / "1/model.pt")[0].heads.state_dict(), first.heads.state_dict()
    assert found
    assert all(torch.equal(found[name], own[name]) for name in own)


def test_a_larger_part_of_the_source_holds_the_smaller():
    images = replace(Pictures(), records=tuple(Record(f"{i}") for i in range(200)))
    parts = [subset(images, fraction, 7).records for fraction in (0.001, 0.03, 0.035, 0.29, 1.0)]
    assert [len(part) for part in parts] == [1, 6, 7, 58, 200]
    for small, large in pairwise(parts):
        assert set(small) < set(large)
        assert list(small) == [record for record in large if record in small]
    assert parts[-1] == images.records
    assert subset(images, 0.29, 8).records != parts[3]


def test_the_last_models_are_those_of_shorter_trainings(tmp_path, initial):
    settings = {"save_every": 1, "horizon": 9}
    train(tmp_path / "long", initial, steps=3, keep_last=3, **settings)
    train(tmp_path / "short", initial, steps=2, **settings)
    kept = earlier_models(tmp_path / "long" / "model.pt")
    assert [path.name for path in kept] == ["0000001.pt", "0000002.pt"]
    assert kept[1].read_bytes() == (tmp_path / "short" / "model.pt").read_bytes()
    assert earlier_models(tmp_path / "short" / "model.pt") == []


def test_the_source_gets_styles_and_unsure_pixels_a_penalty(tmp_path, initial):
    (plain,) = train(tmp_path / "1", initial, steps=1)
    (styled,) = train(tmp_path / "2", initial, steps=1, fda=0.1, entropy="plain", entropy_weight=0.5)
    assert styled["source"] != plain["source"]
    assert 0 < styled["entropy"] <= 0.5
    unlabelled = {"entropy_weight": 0.5, "entropy_pixels": "unlabelled"}  # there are none here
    assert train(tmp_path / "3", initial, steps=1, **unlabelled)[0]["entropy"] == 0
