"""The distances to frozen encoders: their values, their gradients, and what a training keeps of them."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import timm
import torch
from torch import nn

from udaseg import models
from udaseg.config import Augment, Model, Retrain
from udaseg.config.sections.feature_distance import FeatureDistance
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.labels import SPACES
from udaseg.models.colors import normalise
from udaseg.models.output import Output
from udaseg.train.domains import DomainOutput
from udaseg.train.frozen_encoder import FrozenEncoder, fit_side
from udaseg.train.ingredients import Networks, batch_teacher, choose_ingredients
from udaseg.train.ingredients.feature_distance import distance_warnings, find_cells, mean_distance
from udaseg.train.ingredients.foundation import Projection, distances
from udaseg.train.retrain import retrain

from .test_retrain import SPACE, Pictures

# Cells of 2x2 pixels: of class 1 in three quarters; of class 0; of class 1 in three quarters; of none.
LABELS_NHW = torch.tensor([[[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 255, 255], [1, 255, 255, 0]]], dtype=torch.uint8)
FROZEN_NDhw = torch.zeros(1, 2, 2, 2)
STUDENT_NDhw = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]], [[4.0, 1.0], [2.0, 0.0]]]])


def test_the_distance_on_things_is_the_mean_over_their_cells():
    cells_Nhw = find_cells(LABELS_NHW, [1], (2, 2), 0.75)
    assert cells_Nhw.tolist() == [[[True, False], [True, False]]]
    assert find_cells(LABELS_NHW, [0, 1], (2, 2), 0.75).tolist() == [[[True, True], [True, False]]]
    assert not find_cells(LABELS_NHW, [1], (2, 2), 0.8).any()
    student_NDhw = STUDENT_NDhw.clone().requires_grad_()
    distance = mean_distance(student_NDhw, FROZEN_NDhw, cells_Nhw)
    assert distance.item() == 3.5
    assert (FeatureDistance().weight * distance).item() == pytest.approx(0.0175)
    distance.backward()
    assert student_NDhw.grad[0, :, 0, 0].tolist() == pytest.approx([0.3, 0.4])
    assert not student_NDhw.grad[..., 1].any()


def test_without_things_the_distance_is_zero_with_a_graph():
    student_NDhw = STUDENT_NDhw.clone().requires_grad_()
    distance = mean_distance(student_NDhw, FROZEN_NDhw, find_cells(LABELS_NHW, [2], (2, 2), 0.75))
    distance.backward()
    assert distance.item() == 0
    assert not student_NDhw.grad.any()


def test_features_that_are_equal_have_no_gradient():
    student_NDhw = FROZEN_NDhw.clone().requires_grad_()
    mean_distance(student_NDhw, FROZEN_NDhw, torch.ones(1, 2, 2, dtype=torch.bool)).backward()
    assert student_NDhw.grad.tolist() == FROZEN_NDhw.tolist()


def test_things_are_found_by_their_names_in_every_space():
    ids = [
        i for i, name in enumerate(SPACES["cs19"].classes) if name in FeatureDistance().choose(SPACES["cs19"].classes)
    ]
    assert ids == [6, 7, *range(11, 19)]
    assert FeatureDistance().choose(["road", "car", "thing"]) == ["car"]
    assert FeatureDistance(classes=["thing", "road"]).choose(["road", "car", "thing"]) == ["road", "thing"]
    assert all(FeatureDistance().choose(space.classes) for space in SPACES.values())


def test_the_distance_to_a_foundation_model_is_of_length_and_angle():
    student_NDhw = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    foundation_NDhw = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert distances(student_NDhw, foundation_NDhw).item() == pytest.approx(0.572508, abs=1e-6)
    assert distances(student_NDhw, student_NDhw).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("size", "side", "multiple", "fitted"),
    [
        ((1024, 1024), 406, 14, [406, 406]),
        ((512, 1024), 406, 14, [406, 812]),
        ((96, 192), 400, 14, [406, 798]),
        ((40, 1000), 4, 16, [16, 96]),
    ],
)
def test_a_foundation_model_sees_whole_patches(size, side, multiple, fitted):
    assert fit_side(size, side, multiple) == fitted


# --- in a training


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Give a file of weights for each small encoder."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("test_efficientnet", "test_vit")):
        torch.manual_seed(seed)
        torch.save(timm.create_model(name, num_classes=0).state_dict(), folder / f"{name}.pth")
    return {path.stem: str(path) for path in folder.iterdir()}


def network(encoder, weights):
    decoder = "upscale" if encoder == "test_vit" else "daformer"
    width = {} if encoder == "test_vit" else {"width": 8}
    return Model(encoder=encoder, decoder=decoder, weights=weights[encoder], bn="train", **width)


def everything(weights):
    return {
        "init": "weights", "labels": "none", "passes": "separate", "teacher": 0.9, "online": {"confidence": 0.3},
        "classmix": True, "strong": {}, "masked": {"block": 16},
        "feature_distance": {"classes": ["car"]},
        "foundation": {"encoder": "test_vit", "weights": weights["test_vit"], "side": 32},
    }  # fmt: skip


class Stop(Exception):  # noqa: N818 - it is no error
    """End a training from outside."""


def train(out, encoder, weights, stop_after=None, **changes):
    out.mkdir(exist_ok=True)

    def progress(done, total):
        if done == stop_after:
            raise Stop

    plan = {"steps": 3, "batch": 2, "log_every": 1, "save_every": 2, "optimizer": "adamw", "precision": "fp32"}
    settings = Retrain(**plan | everything(weights) | changes, augment=Augment(crop=(32, 32)))
    view = View(Pictures(), (64, 96))
    result = retrain(view, view, SPACE.classes, network(encoder, weights), settings, out, seed=3, progress=progress)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return lines, result.warnings


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_vit"])
def test_a_stopped_training_with_all_passes_and_distances_goes_on_to_the_same_bytes(tmp_path, encoder, weights):
    lines, warnings = train(tmp_path / "alone", encoder, weights)
    assert not any("feature_distance" in warning for warning in warnings)
    losses = {"source", "target", "masked", "feature_distance", "foundation_source", "foundation_target"}
    assert set(lines[0]) == {"step", "loss", "lr", "confident", "distance"} | losses
    for line in lines:
        assert line["loss"] == pytest.approx(sum(line[name] for name in losses), rel=1e-5)
        assert line["feature_distance"] == pytest.approx(0.005 * line["distance"])
    with pytest.raises(Stop):
        train(tmp_path / "stopped", encoder, weights, stop_after=2)
    train(tmp_path / "stopped", encoder, weights)
    for name in ("model.pt", "state.pt", "log.jsonl"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    state = torch.load(tmp_path / "alone/state.pt", weights_only=True)["modules"]
    assert set(state) == {"model", "teacher", "projection"}
    model = torch.load(tmp_path / "alone/model.pt", weights_only=True)["model"]
    assert model.keys() == models.construct(network(encoder, weights), 3).state_dict().keys()


def test_frozen_encoders_stay_as_they_are_and_the_projection_learns(tmp_path, weights, monkeypatch):
    built = {}

    def remember(kind):
        make = kind.__init__

        def made(self, *arguments, **named):
            make(self, *arguments, **named)
            module = self.network if kind is FrozenEncoder else self
            built.setdefault(kind, []).append((module, {key: one.clone() for key, one in module.state_dict().items()}))

        monkeypatch.setattr(kind, "__init__", made)

    remember(FrozenEncoder)
    remember(Projection)
    train(tmp_path, "test_efficientnet", weights, steps=1)
    assert len(built[FrozenEncoder]) == 2
    for frozen, before in built[FrozenEncoder]:
        assert not frozen.training
        assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    ((projection, before),) = built[Projection]
    assert all(not torch.equal(value, before[name]) for name, value in projection.state_dict().items())


@pytest.mark.parametrize(("distances", "count"), [([0.0, 0.0], 1), ([0.0, 3.5], 0), ([], 0)])
def test_a_training_is_told_where_no_cell_showed_a_thing(tmp_path, distances, count):
    lines = [{"step": i, "loss": 1.0, "lr": 0.1, "distance": distance} for i, distance in enumerate(distances, 1)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    warnings = distance_warnings(tmp_path / "log.jsonl")
    assert len(warnings) == count
    assert all("had no effect" in warning and "lower it to 0.5" in warning for warning in warnings)


def test_the_pretrained_encoder_is_that_of_the_weights_whatever_training_starts_from(weights):
    images_NHWC = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8))
    settings = models.resolve_color(network("test_efficientnet", weights))
    frozen = FrozenEncoder(settings, SPACE.classes, torch.device("cpu"), nullcontext)
    student = models.build(settings, SPACE.classes).eval()
    with torch.no_grad():
        expected_NDhw = student(normalise(images_NHWC, settings.color)).deep
    assert torch.equal(frozen.last_map(images_NHWC), expected_NDhw)
    assert frozen.channels == expected_NDhw.shape[1]


class Given:
    """A frozen encoder whose last map is given."""

    def __init__(self, map_NDhw):
        self.map_NDhw = map_NDhw

    def last_map(self, images_NHWC):
        return self.map_NDhw


@pytest.mark.parametrize("classmix", [True, False])
def test_what_is_outside_an_image_has_no_distance(classmix):
    settings = Retrain(classmix=classmix, foundation={"weight": 2.0})
    frozen_NDhw = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).repeat(2, 1, 1, 2)
    student_NDhw = torch.tensor([[1.0, 9.0], [2.0, 9.0]]).view(1, 2, 1, 2).repeat(2, 1, 1, 1)
    valid_NHW = torch.ones(2, 8, 16, dtype=torch.bool)
    valid_NHW[..., 8:] = False
    images = {f"{domain}_image": torch.zeros(2, 8, 16, 3, dtype=torch.uint8) for domain in ("source", "target")}
    labels = {f"{domain}_label": torch.ones(2, 8, 16, dtype=torch.uint8) for domain in ("source", "target")}
    batch = Batch(images | labels | {"target_valid": valid_NHW})
    networks = Networks(None, "rgb", nullcontext, foundation=Given(frozen_NDhw), projection=nn.Identity())
    prepared = batch_teacher(choose_ingredients(settings), settings, networks, 0)(0, batch)

    def run(terms, domain, valid_NHW):
        output = DomainOutput(Output(student_NDhw, student_NDhw, deep=student_NDhw), student_NDhw, valid_NHW)
        return {name: value.item() for term in terms for name, value in term({domain: output}).items()}

    if classmix:  # what is pasted lies outside of the image too
        (further,) = prepared.passes
        of_target = run(further.terms, further.domain, further.batch["unmixed_valid"])
        assert prepared.batch["target_valid"].all()
    else:
        assert not prepared.passes
        of_target = run(prepared.terms, "target", prepared.batch["target_valid"])
    assert of_target == {"foundation_target": pytest.approx(2 * 0.572508, abs=1e-5)}
    beside = 0.1 * 8 + 0.9 * (1 - 0.5**0.5)  # of (9, 9) and (1, 0)
    of_source = run(prepared.source_terms, "source", None)
    assert of_source == {"foundation_source": pytest.approx(0.572508 + beside, abs=1e-5)}
