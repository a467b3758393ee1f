"""Retraining as a whole: what its settings do, and what they lack."""

import json
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from udaseg import models
from udaseg.data.loading import subset
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace, class_space
from udaseg.models import checkpoint
from udaseg.recipe import Augment, Model, Retrain
from udaseg.train.retrain import retrain

SPACE = class_space(["road", "car", "sky"])
NETWORK = Model(name="fpn", backbone="resnet18", weights="none")
THRESHOLDS = {"policy": "cbst", "threshold": [0.9, 0.8, 1.0], "predicted": [10_000, 5, 0]}


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


def train(out, initial=None, thresholds=THRESHOLDS, **settings):
    chosen = Retrain(**{"steps": 2, "batch": 2, "log_every": 1, "augment": Augment(crop=(32, 32)), **settings})
    out.mkdir()
    label = lambda stem: Pictures().label(int(stem))  # noqa: E731
    sets = (Pictures(), (64, 96), Pictures(), label, (64, 96), SPACE)
    retrain(*sets, initial, NETWORK, chosen, out, seed=3, thresholds=thresholds)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


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


def test_mining_needs_a_crop_and_the_counts_of_the_predictions(tmp_path):
    with pytest.raises(UdasegError, match="there is no crop") as caught:
        train(tmp_path / "1", mine=0.8, augment=Augment())
    assert "retrain.augment.crop" in caught.value.hint
    with pytest.raises(UdasegError, match="needs the pixel counts") as caught:
        train(tmp_path / "2", mine=0.8, thresholds=None)
    assert "--thresholds" in caught.value.hint


def test_a_larger_part_of_the_source_holds_the_smaller():
    pictures = replace(Pictures(), records=tuple(Record(f"{i}") for i in range(200)))
    parts = [subset(pictures, fraction, 7).records for fraction in (0.001, 0.03, 0.035, 0.29, 1.0)]
    assert [len(part) for part in parts] == [1, 6, 7, 58, 200]
    for small, large in pairwise(parts):
        assert set(small) < set(large)
        assert list(small) == [record for record in large if record in small]
    assert parts[-1] == pictures.records
    assert subset(pictures, 0.29, 8).records != parts[3]
