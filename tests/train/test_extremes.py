"""Training at its limits: one image, one pixel, no label at all, a single class, a class that nobody shows."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from udaseg import models
from udaseg.config import Adversary, Augment, Model, Retrain, Warmup
from udaseg.data.image_sets import View
from udaseg.labels import ClassSpace, class_space
from udaseg.models import checkpoint
from udaseg.statistics.class_counts import class_weights
from udaseg.train.losses import upsample
from udaseg.train.retrain import PseudoLabels, retrain
from udaseg.train.warmup import warmup

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
    ids=["one image", "no label", "one class"],
)
def test_training_stays_finite(tmp_path, count, size, value, classes):
    space = class_space([f"class {c}" for c in range(classes)])
    few = Few(tuple(Record(f"{i}") for i in range(count)), size, value, space)
    settings = Retrain(steps=2, batch=2, log_every=1, augment=Augment())
    labels = PseudoLabels(lambda stem: few.label(int(stem)))
    retrain(View(few), View(few), space.classes, NETWORK, settings, tmp_path, seed=3, labels=labels)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert np.isfinite(losses).all()
    if value == 255 or classes == 1:
        assert losses == [0, 0]
    model, _ = checkpoint.load(tmp_path / "model.pt")
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def finite(out):
    losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    model, _ = checkpoint.load(out / "model.pt")
    return np.isfinite(losses).all() and all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("size", [(1, 1), (9, 1)], ids=["1x1", "9x1"])
@pytest.mark.parametrize("name", ["fpn", "bisenet", "deeplab"])
def test_in_bf16_only_what_lies_on_a_picture_one_column_wide_has_a_gradient(name, size):
    torch.manual_seed(0)
    model = models.construct(Model(name=name, backbone="resnet18", weights="none", bn="frozen"), 3).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits_NChw = model(torch.rand(2, 3, *size).to(memory_format=torch.channels_last)).logits
    dirty = [torch.full((1 << power,), torch.nan) for power in range(6, 22)]
    del dirty  # memory that is read before it is written is no number
    upsample(logits_NChw, size, model.align_corners).square().mean().backward()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2):
            beside = [column for column in range(module.kernel_size[1]) if column != module.kernel_size[1] // 2]
            assert torch.equal(module.weight.grad[..., beside], torch.zeros_like(module.weight[..., beside]))
            assert module.weight.grad.isfinite().all()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("bn", ["train", "frozen"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_images_of_one_pixel_leave_the_weights_finite(tmp_path, precision, bn, batch):
    few = Few(tuple(Record(f"{i}") for i in range(3)), (1, 1), 1, class_space(["road", "car"]))
    settings = Warmup(steps=3, batch=batch, log_every=1, precision=precision, augment=Augment(flip=0.5))
    warmup(View(few), None, NETWORK.model_copy(update={"bn": bn}), settings, tmp_path, seed=1)
    assert finite(tmp_path)


ALIGNMENTS = {
    "labels alone": {},
    "entropy": {"entropy_weight": 0.1},
    "output": {"align": "output"},
    "fine-grained": {"align": "fine-grained"},
}


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize(
    ("count", "value", "classes"),
    [(1, 0, 3), (3, 255, 3), (3, 0, 1), (3, 2, 3)],
    ids=["one image", "no label", "one class", "classes without a pixel"],
)
def test_the_warmup_stays_finite(tmp_path, count, value, classes, alignment):
    few = Few(
        tuple(Record(f"{i}") for i in range(count)), (32, 48), value, class_space([f"{c}" for c in range(classes)])
    )
    adversary = Adversary(align=ALIGNMENTS[alignment].get("align", "none"))
    settings = Warmup(steps=2, batch=2, log_every=1, entropy_weight=ALIGNMENTS[alignment].get("entropy_weight"))
    weights = class_weights(np.bincount([value] * 100, minlength=classes)[:classes])
    sets = (View(few), View(few))
    warmup(*sets, NETWORK, settings, tmp_path, seed=2, adversary=adversary, class_weights=weights)
    assert finite(tmp_path)
    source = [json.loads(line)["source"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (source == [0, 0]) == (value == 255 or classes == 1)
