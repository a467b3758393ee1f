"""Training at its limits: one picture, no label at all, a single class."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from udaseg.labels import ClassSpace, class_space
from udaseg.models import checkpoint
from udaseg.recipe import Augment, Retrain
from udaseg.train.retrain import retrain

from .test_retrain import NETWORK, Record


@dataclass(frozen=True)
class Few:
    records: tuple[Record, ...]
    size: tuple[int, int]
    value: int  # of every label
    space: ClassSpace

    def __len__(self):
        return len(self.records)

    def image(self, i):
        return np.random.default_rng(i).integers(0, 255, (*self.size, 3), np.uint8)

    def label(self, i):
        return np.full(self.size, self.value, np.uint8)


@pytest.mark.parametrize(
    ("count", "size", "value", "classes"),
    [(1, (32, 48), 0, 3), (3, (32, 48), 255, 3), (3, (32, 48), 0, 1)],
    ids=["one picture", "no label", "one class"],
)
def test_training_stays_finite(tmp_path, count, size, value, classes):
    space = class_space([f"class {c}" for c in range(classes)])
    few = Few(tuple(Record(f"{i}") for i in range(count)), size, value, space)
    settings = Retrain(steps=2, batch=2, log_every=1, augment=Augment())
    sets = (few, None, few, lambda stem: few.label(int(stem)), None, space)
    retrain(*sets, None, NETWORK, settings, tmp_path, seed=3)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert np.isfinite(losses).all()
    if value == 255 or classes == 1:
        assert losses == [0, 0]
    model, _ = checkpoint.load(tmp_path / "model.pt")
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
