"""The teacher: its average, its inputs, its labels, the moving prototypes, and a training that continues exactly."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from udaseg import models
from udaseg.config import Augment, Model, Online, Retrain
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.data.rare_classes import RareClasses
from udaseg.errors import UdasegError
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.colors import normalise
from udaseg.models.output import Output
from udaseg.train import losses
from udaseg.train.domains import DomainOutput
from udaseg.train.ingredients import Networks, batch_teacher, choose_ingredients
from udaseg.train.ingredients.classmix import paste
from udaseg.train.ingredients.consistency import consistency
from udaseg.train.ingredients.online import CONFIDENT, label_batch, label_online
from udaseg.train.ingredients.teacher import averaged_copy, teacher_warnings
from udaseg.train.moving_prototypes import MovingPrototypes
from udaseg.train.retrain import InitialModel, PseudoLabels, retrain

from .test_distill import LeftIsFirst
from .test_retrain import NETWORK, SPACE, Pictures, initial  # noqa: F401 - a fixture

NAN = float("nan")


# --- the average


def test_the_first_update_copies_and_later_ones_keep_more_and_more():
    student = nn.Sequential(nn.Linear(1, 1, bias=False), BatchNorm(1), nn.Dropout(0.5))
    teacher = averaged_copy(student, 0.7)
    assert not teacher.training
    means = []
    for value in (5.0, 1.0, 2.0, 4.0, 8.0):
        with torch.no_grad():
            student[0].weight.fill_(value)
            student[1].running_mean.fill_(value)
        teacher.update_parameters(student)
        means.append(float(teacher.module[0].weight))
        assert float(teacher.module[1].running_mean) == pytest.approx(means[-1])
    assert means[:3] == pytest.approx([5.0, 3.0, 3.0 * 2 / 3 + 2.0 / 3])
    assert means[4] == pytest.approx(0.7 * means[3] + 0.3 * 8.0)
    assert not any(value.requires_grad for value in teacher.parameters())


def test_the_average_is_a_plain_mean_until_its_momentum_is_reached():
    student = nn.Linear(1, 1, bias=False)
    teacher, means = averaged_copy(student, 0.999), []
    for value in range(1, 1201):
        before = float(teacher.module.weight)
        nn.init.constant_(student.weight, value)
        teacher.update_parameters(student)
        means.append(float(teacher.module.weight))
        if value in (1000, 1001, 1200):  # t = 999: the first step with the momentum of the settings
            assert means[-1] == pytest.approx(0.999 * before + 0.001 * value, rel=1e-5)
    assert means[:4] == pytest.approx([1, 1.5, 2, 2.5])
    assert means[998] == pytest.approx(500, rel=1e-4)


def test_the_teacher_is_warned_of_where_it_averages_over_all_of_the_training():
    assert teacher_warnings(Retrain(teacher=0.999, steps=40_000)) == []
    assert teacher_warnings(Retrain(teacher=0.999, steps=1000)) == []
    assert teacher_warnings(Retrain(teacher=None, steps=10)) == []
    assert teacher_warnings(Retrain(teacher=0.999, steps=0)) == []
    for momentum, steps, reach, fitting in (
        (0.999, 600, "1000 steps", "0.933"),
        (0.999, 999, "1000 steps", "0.96"),
        (0.9999, 5000, "10000 steps", "0.992"),
        (1.0, 400_000, "all steps", "0.9999"),
        (0.9, 4, "10 steps", "0"),
    ):
        [text] = teacher_warnings(Retrain(teacher=momentum, steps=steps))
        assert f"averages over {reach}, and the training has {steps}" in text
        assert f"retrain.teacher={fitting} reaches" in text
        assert teacher_warnings(Retrain(teacher=float(fitting), steps=steps)) == []


# --- its batch norm


def network(**settings):
    torch.manual_seed(0)
    return models.construct(
        Model(**{"weights": "none", "encoder": "test_efficientnet", "decoder": "fpn", **settings}), 3
    )


def outputs_and_buffers(student, norm, image):
    """Give the logits of the teacher, its buffers before and after, and the layers that normalise by the batch."""
    teacher = averaged_copy(student, 0.9, norm)
    teacher.update_parameters(student)
    before = {name: value.clone() for name, value in teacher.module.named_buffers()}
    with torch.no_grad():
        logits = teacher(image).logits
    own = [name for name, layer in teacher.module.named_modules() if isinstance(layer, BatchNorm) and layer.training]
    assert not any(layer.training for layer in teacher.modules() if isinstance(layer, nn.Dropout))
    return logits, before, dict(teacher.module.named_buffers()), own


def test_the_teacher_normalises_by_what_the_settings_say():
    student, image = network().train(), torch.rand(2, 3, 64, 64) * 3
    names = [name for name, layer in student.named_modules() if isinstance(layer, BatchNorm)]
    found = {norm: outputs_and_buffers(student, norm, image) for norm in ("average", "batch", "stem")}
    assert [len(own) for *_, own in found.values()] == [0, len(names), 1]
    assert found["stem"][3] == [name for name, layer in student.named_modules() if layer is student.stem()[1]]
    for _, before, after, _ in found.values():
        assert all(torch.equal(before[name], after[name]) for name in before)
    with torch.no_grad():
        assert torch.equal(found["average"][0], student.eval()(image).logits)
        for layer in student.modules():
            layer.train(isinstance(layer, BatchNorm))
        torch.testing.assert_close(found["batch"][0], student(image).logits)
    assert not torch.allclose(found["stem"][0], found["average"][0])
    assert not torch.allclose(found["stem"][0], found["batch"][0])
    frozen = network()
    models.set_bn_mode(frozen, "frozen")
    assert len(outputs_and_buffers(frozen, "batch", image)[3]) == len(names)


@pytest.mark.parametrize(
    ("norm", "decoder", "message"),
    [("batch", "upscale", "this network has none"), ("stem", "fpn", "the first layer of this encoder is another one")],
)
def test_a_network_without_batch_norm_has_no_other_teacher(norm, decoder, message):
    student = network(encoder="test_vit", decoder=decoder)
    with pytest.raises(UdasegError, match=f"teacher_norm={norm} changes batch norm, and {message}") as caught:
        averaged_copy(student, 0.9, norm)
    assert "set retrain.teacher_norm=average" in caught.value.hint


# --- its labels

STORED = torch.tensor([[[0, 0, 255, 255]]], dtype=torch.uint8)
P = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.95, 0.05]])  # of four pixels
LOGITS = P.log().T.view(1, 2, 1, 4)


@pytest.mark.parametrize(
    ("settings", "label", "pixels", "share"),
    [
        ({}, [0, 1, 1, 0], [0.75] * 4, 0.75),
        ({"unsure": "ignore"}, [0, 1, 255, 0], None, 0.75),
        ({"confidence": 0.0}, [0, 1, 1, 0], [1.0] * 4, 1.0),
        ({"pixels": "labelled", "confidence": 0.85}, [0, 1, 255, 255], [0.5, 0.5, 1.0, 1.0], 0.5),
        ({"pixels": "unlabelled"}, [0, 0, 1, 0], [1.0, 1.0, 0.5, 0.5], 0.5),
        ({"pixels": "unlabelled", "unsure": "ignore"}, [0, 0, 255, 0], None, 0.5),
    ],
)
def test_labels_that_are_made_online(settings, label, pixels, share):
    batch, sure = label_batch(Batch(target_label=STORED), LOGITS, Online(**{"confidence": 0.8, **settings}))
    assert batch["target_label"].flatten().tolist() == label
    assert sure.item() == share
    if pixels is None:
        assert "target_pixels" not in batch
    else:
        assert batch["target_pixels"].flatten().tolist() == pytest.approx(pixels)


def test_nothing_is_labelled_outside_the_image():
    valid = torch.tensor([[[True, True, True, False]]])
    batch, sure = label_batch(Batch(target_valid=valid), LOGITS, Online(confidence=0.8))
    assert batch["target_label"].flatten().tolist() == [0, 1, 1, 255]
    assert sure.item() == pytest.approx(2 / 3)


def test_labels_in_the_margins_have_no_weight_and_pasted_ones_do():
    trusted = torch.tensor([[[True, False, True, False]]])
    margins = Batch(target_label=STORED, target_trusted=trusted, target_image=torch.zeros(1, 1, 4, 3).byte())
    batch, sure = label_batch(margins, LOGITS, Online(confidence=0.8))
    assert batch["target_label"].flatten().tolist() == [0, 1, 1, 0]
    assert batch["target_pixels"].flatten().tolist() == pytest.approx([0.75, 0.0, 0.75, 0.0])
    assert sure.item() == 0.75  # all pixels count for the share that is sure
    source = Batch(source_label=torch.full((1, 1, 4), 2).byte(), source_image=torch.full((1, 1, 4, 3), 9).byte())
    pasted = paste(Batch(batch | source), torch.tensor([[[False, False, True, True]]]))
    assert pasted["target_label"].flatten().tolist() == [0, 1, 2, 2]
    assert pasted["target_pixels"].flatten().tolist() == pytest.approx([0.75, 0.0, 1.0, 1.0])
    stored, _ = label_batch(margins, LOGITS, Online(confidence=0.8, pixels="unlabelled"))
    assert stored["target_pixels"].flatten().tolist() == pytest.approx([1.0, 1.0, 0.5, 0.0])
    ignored, _ = label_batch(margins, LOGITS, Online(confidence=0.8, unsure="ignore"))
    assert ignored["target_label"].flatten().tolist() == [0, 255, 255, 255]


def test_a_share_that_is_sure_is_that_of_each_image():
    p = torch.tensor([[0.99, 0.97, 0.5, 0.968], [0.9, 0.5, 0.6, 0.7]], dtype=torch.float64)
    logits = torch.stack([p, 1 - p], 1).log()[:, :, None]
    batch, sure = label_batch(Batch(), logits, Online(confidence=0.968 - 1e-9))
    assert batch["target_pixels"].amax((1, 2)).tolist() == [0.75, 0.0]
    assert sure.item() == 0.375
    batch, _ = label_batch(Batch(), torch.zeros(1, 2, 1, 4), Online(confidence=0.5))
    assert batch["target_pixels"].unique().tolist() == [1.0]


@pytest.mark.parametrize("scores", ["teacher", "initial"])
def test_probabilities_are_the_mean_of_the_image_and_its_mirror_image(scores):
    model = LeftIsFirst()
    networks = Networks(model, "rgb", nullcontext, model, model)
    p = (torch.tensor([4.0, 0.0]).softmax(0) + torch.tensor([0.0, 2.0]).softmax(0))[0].item() / 2
    for confidence, share in ((p - 1e-4, 1.0), (p + 1e-4, 0.0)):
        settings = Retrain(teacher=0.9, online={"scores": scores, "flip": True, "confidence": confidence})
        batch = Batch(target_image=torch.zeros(1, 2, 4, 3, dtype=torch.uint8))
        out, *_ = batch_teacher([label_online], settings, networks, 3)(0, batch)
        assert out["target_label"].unique().tolist() == [0]
        assert out["target_pixels"].unique().tolist() == [share]


def test_the_weight_of_a_pixel_is_a_factor_of_its_loss():
    logits, label = torch.randn(1, 3, 2, 2), torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8)
    pixels = torch.tensor([[[1.0, 0.5], [0.0, 9.0]]])
    for loss in (losses.cross_entropy, losses.symmetric_cross_entropy):
        own = [loss(logits[..., y : y + 1, x : x + 1], label[..., y : y + 1, x : x + 1]) for y, x in ((0, 0), (0, 1))]
        torch.testing.assert_close(loss(logits, label, pixels_NHW=pixels), (own[0] + own[1] / 2) / 3)
        torch.testing.assert_close(loss(logits, label, pixels_NHW=torch.ones(1, 2, 2)), loss(logits, label))
        nothing = loss(logits.requires_grad_(), torch.full_like(label, 255), pixels_NHW=pixels)
        nothing.backward()
        assert nothing.item() == 0


# --- the prototypes


def test_prototypes_move_by_the_mean_of_each_class_and_image():
    moving = MovingPrototypes(torch.tensor([[1.0, 1.0], [5.0, 5.0], [NAN, NAN]]), momentum=0.9)
    features = torch.tensor([[[[2.0, 4.0, 7.0]], [[0.0, 0.0, 7.0]]]])  # of three pixels: (2, 0), (4, 0), (7, 7)
    for _ in range(5):
        moving.move(features, torch.tensor([[[0, 0, 255]]]))
    shown = 1 - 0.9**5
    torch.testing.assert_close(moving.centroids[0], torch.tensor([1 - shown + 3 * shown, 1 - shown]))
    assert moving.centroids[1].tolist() == [5, 5]
    assert moving.centroids[2].isnan().all()


def test_a_class_never_seen_takes_the_mean_of_what_it_is_shown():
    moving = MovingPrototypes(torch.full((2, 1), NAN), momentum=0.75)
    labels, shown = torch.tensor([[[0]]]), []
    for value in (4.0, 8.0, 0.0, 8.0, 10.0, 0.0):
        moving.move(torch.full((1, 1, 1, 1), value), labels)
        shown.append(moving.centroids[0].item())
    assert shown == pytest.approx([4, 6, 4, 5, 0.75 * 5 + 2.5, 0.75 * 6.25])


def test_consistency_is_the_divergence_where_the_views_show_the_same():
    eta, weak = torch.randn(3, 4), torch.randn(1, 3, 2, 2)
    features = torch.randn(1, 4, 2, 2, requires_grad=True)
    outputs = {"target": DomainOutput(Output(torch.zeros(1), features), torch.zeros(1))}
    where = torch.tensor([[[True, False], [True, True]]])
    near = (features[:, None] - eta[None, :, :, None, None]).norm(dim=2)
    expected = losses.kl_consistency(-near / 0.5, -weak / 0.5, where)
    term = consistency(2.0, 0.5, eta, weak, where)(outputs)["consistency"]
    torch.testing.assert_close(term, 2 * expected, rtol=1e-4, atol=1e-5)
    term.backward()
    assert (features.grad[..., 0, 1] == 0).all()
    assert (features.grad[..., 0, 0] != 0).any()
    same = consistency(2.0, 0.5, eta, near.detach(), None)(outputs)["consistency"]
    assert same.item() == pytest.approx(0, abs=1e-5)


# --- the inputs of each network


class Recorder(nn.Module):
    """A network whose logits are the first two channels of its input; it remembers its inputs."""

    align_corners = False

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.inputs = []

    def forward(self, x):
        self.inputs.append(x)
        return Output(x[:, :2] * self.scale, x)


def test_the_teacher_sees_the_target_as_it_comes_and_the_student_mixed_and_changed():
    student, first = Recorder(), Recorder()
    settings = Retrain(teacher=0.9, online={"scores": "initial"}, classmix=True, strong={"jitter": 0.5}, consistency=1)
    teacher, moving = averaged_copy(student, 0.9), MovingPrototypes(torch.eye(2, 3), 0.99)
    networks = Networks(student, "rgb", nullcontext, teacher, first, moving)
    prepare = batch_teacher(choose_ingredients(settings), settings, networks, 3)
    rng = np.random.default_rng(0)
    batch = Batch(
        {
            f"{domain}_image": torch.from_numpy(rng.integers(0, 256, (2, 8, 8, 3), np.uint8))
            for domain in ("source", "target")
        }
        | {"source_label": torch.from_numpy(rng.integers(0, 2, (2, 8, 8), np.uint8))}
    )
    before = {name: tensor.clone() for name, tensor in batch.items()}
    out, loss_terms, *_ = prepare(0, batch)
    assert all(torch.equal(batch[name], tensor) for name, tensor in before.items())
    weak = normalise(before["target_image"], "rgb")
    assert torch.equal(teacher.module.inputs[0], weak)
    assert torch.equal(first.inputs[0], weak)
    assert student.inputs == []
    assert not torch.equal(out["target_image"], before["target_image"])
    output = Output(torch.zeros(2, 2, 8, 8), torch.zeros(2, 3, 8, 8))
    outputs = {"target": DomainOutput(output, output.logits)}
    assert {name for term in loss_terms for name in term(outputs)} == {CONFIDENT, "consistency"}
    again, *_ = prepare(0, batch)
    assert torch.equal(again["target_image"], out["target_image"])
    other, *_ = prepare(1, batch)
    assert not torch.equal(other["target_image"], out["target_image"])


# --- retraining as a whole

EVERYTHING = {
    "teacher": 0.9,
    "teacher_norm": "batch",
    "online": {"rectify": True, "confidence": 0.3, "margins": [0.1, 0.2, 0.0, 0.05], "flip": True},
    "strong": {"jitter": 0.2, "hue": 0.2, "probability": 0.8, "method": "dacs", "blur": 0.5},
    "rare": {"pixels": 100},
    "classmix": True,
    "consistency": 0.5,
    "loss": "symmetric",
    "regulariser": "mrkld",
}


class StoppedError(Exception):
    pass


def train(out, start, stop_after=None, **settings):
    chosen = Retrain(
        **{"steps": 4, "batch": 2, "log_every": 1, "save_every": 2, "augment": Augment(crop=(32, 32)), **settings}
    )
    out.mkdir(exist_ok=True)

    def progress(done, total):
        if done == stop_after:
            raise StoppedError

    labels = None if chosen.labels == "none" else PseudoLabels(lambda stem: Pictures().label(int(stem)))
    view = View(Pictures(), (64, 96))
    centroids = np.random.default_rng(0).random((3, 64), np.float32)
    known, rare = InitialModel(start, centroids=centroids), None
    if chosen.rare is not None:
        counts = [np.bincount(Pictures().label(i).ravel(), minlength=3) for i in range(len(Pictures()))]
        rare = RareClasses(np.array(counts), chosen.rare)
    retrain(
        view, view, SPACE.classes, NETWORK, chosen, out, seed=3, labels=labels, initial=known, rare=rare,
        progress=progress,
    )  # fmt: skip
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("keep", ["student", "teacher"])
def test_a_killed_training_with_everything_goes_on_to_the_same_bytes(tmp_path, initial, keep):  # noqa: F811
    lines = train(tmp_path / "alone", initial, keep=keep, **EVERYTHING)
    terms = {"source", "target", "mrkld", "consistency", CONFIDENT}
    assert set(lines[0]) == {"step", "loss", "lr"} | terms
    assert lines[0]["loss"] == pytest.approx(sum(lines[0][name] for name in terms - {CONFIDENT}), rel=1e-5)
    with pytest.raises(StoppedError):
        train(tmp_path / "stopped", initial, stop_after=3, keep=keep, **EVERYTHING)
    train(tmp_path / "stopped", initial, keep=keep, **EVERYTHING)
    for name in ("model.pt", "state.pt", "log.jsonl"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_a_teacher_alone_changes_nothing_but_what_is_kept(tmp_path, initial):  # noqa: F811
    plain = train(tmp_path / "plain", initial)
    assert train(tmp_path / "kept", initial, teacher=0.9, keep="teacher") == plain
    files = [(tmp_path / name / "model.pt").read_bytes() for name in ("plain", "kept")]
    assert files[0] != files[1]
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("plain", "kept")]
    assert [set(state["modules"]) for state in states] == [{"model"}, {"model", "teacher"}]
    student, teacher = (
        torch.load(tmp_path / name / "model.pt", weights_only=True)["model"] for name in ("plain", "kept")
    )
    copy = states[1]["modules"]["teacher"]["module.classifier.weight"]
    torch.testing.assert_close(
        teacher["classifier.weight"], copy + (student["classifier.weight"] - copy) * (1 - min(1 - 1 / 5, 0.9))
    )


def test_training_on_the_labels_of_the_teacher_alone(tmp_path, initial):  # noqa: F811
    settings = {"labels": "none", "teacher": 0.9, "online": {}, "classmix": True}
    lines = train(tmp_path / "run", initial, **settings)
    assert all(0 <= line[CONFIDENT] <= 1 for line in lines)
    assert all(line["target"] > 0 for line in lines)
