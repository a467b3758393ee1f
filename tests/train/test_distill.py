"""Distillation: the labels that a teacher gives the student, and a whole training."""

import json
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from udaseg import models
from udaseg.config import Augment, Distill, Model
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.labels import class_space
from udaseg.models import checkpoint
from udaseg.models.output import Output
from udaseg.train.distill import distill, label_by_teacher
from udaseg.train.domains import DomainOutput
from udaseg.train.ingredients import Networks, batch_teacher
from udaseg.train.losses import kl_consistency

from .test_retrain import SPACE, Pictures, initial  # noqa: F401 - a fixture

LIGHT = Model(name="bisenet", backbone="resnet18", weights="none", color="bgr-mean")


class LeftIsFirst(nn.Module):
    """Predicts class 0 for the left half of an image and class 1 for the right half, with less confidence."""

    align_corners = False

    def forward(self, x):
        logits = torch.zeros(len(x), 2, *x.shape[2:])
        half = x.shape[3] // 2
        logits[:, 0, :, :half], logits[:, 1, :, half:] = 4.0, 2.0
        return Output(logits, x)


def labelled(**settings):
    batch = Batch(target_image=torch.zeros(1, 4, 4, 3, dtype=torch.uint8))
    teacher = LeftIsFirst()
    networks = Networks(teacher, "rgb", nullcontext, teacher=teacher)
    return batch_teacher([label_by_teacher], Distill(**settings), networks, 0)(0, batch)


def test_labels_are_those_of_which_the_teacher_is_sure():
    batch = labelled(flip=False, confidence=0.95).batch
    assert batch["target_label"][0, 0].tolist() == [0, 0, 255, 255]
    batch = labelled(flip=False, confidence=0.0).batch
    assert batch["target_label"][0, 0].tolist() == [0, 0, 1, 1]


def test_the_mirror_image_is_turned_back_before_the_mean():
    p = [torch.tensor([4.0, 0.0]).softmax(0), torch.tensor([0.0, 2.0]).softmax(0)]
    loss_terms = labelled(flip=True, confidence=0.0, soft_weight=0.5).terms
    student = torch.randn(1, 2, 4, 4)
    outputs = {"target": DomainOutput(Output(student, student), student)}
    terms = {name: value for term in loss_terms for name, value in term(outputs).items()}
    mean = ((p[0] + p[1]) / 2).log().view(1, 2, 1, 1).expand(1, 2, 4, 4)
    torch.testing.assert_close(terms["soft"], 0.5 * kl_consistency(student, mean))


def test_without_soft_labels_only_the_hard_ones_are_left():
    loss_terms = labelled(flip=False, soft_weight=0.0).terms
    assert {name for term in loss_terms for name in term({})} == {"confident"}


class StoppedError(Exception):
    pass


def train(out, finished, model=LIGHT, stop_after=None, **settings):
    chosen = Distill(
        **{"steps": 4, "batch": 2, "log_every": 1, "save_every": 2, "augment": Augment(crop=(32, 32)), **settings}
    )

    def progress(done, total):
        if done == stop_after:
            raise StoppedError

    out.mkdir(exist_ok=True)
    view = View(Pictures(), (64, 96))
    distill(view, view, SPACE.classes, finished, model, chosen, out, seed=3, progress=progress)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_student_of_another_architecture_goes_on_after_a_kill_to_the_same_bytes(tmp_path, initial):  # noqa: F811
    lines = train(tmp_path / "alone", initial, strong={"jitter": 0.2})
    assert {"source", "target", "soft", "confident", "target_aux1"} <= lines[0].keys()
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", initial, stop_after=3, strong={"jitter": 0.2})
    train(tmp_path / "stopped", initial, strong={"jitter": 0.2})
    for name in ("model.pt", "state.pt", "log.jsonl"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    assert checkpoint.load(tmp_path / "alone" / "model.pt")[1]["model"]["name"] == "bisenet"


def test_the_student_starts_from_weights_of_its_own(tmp_path, initial):  # noqa: F811
    with pytest.raises(UdasegError, match=r"there is no weights file simclr\.pth"):
        train(tmp_path / "run", initial, weights="simclr.pth")


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    other = class_space(["road", "sky"])
    path = tmp_path / "model.pt"
    checkpoint.save(path, models.construct(LIGHT, 2), LIGHT, other.classes)
    with pytest.raises(UdasegError, match="classes: expected 3"):
        train(tmp_path / "run", path)
