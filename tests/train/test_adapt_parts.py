"""The parts of online adaptation that need no stream: measures, the slow teacher and the journal, by numbers."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from udaseg import models
from udaseg.config import Model
from udaseg.errors import UdasegError
from udaseg.train.adapt import journal as journals
from udaseg.train.adapt.cotta import move_teacher, restore_randomly
from udaseg.train.adapt.journal import Journal
from udaseg.train.adapt.networks import normalisation_layers
from udaseg.train.adapt.predictions import Prediction, entropy, measure

CLASSES = ("road", "car", "sky")


def test_the_entropy_is_that_of_the_specification():
    assert float(entropy(torch.tensor([[0.7, 0.2, 0.1]]))) == pytest.approx(0.801819, abs=5e-7)
    p = torch.tensor([0.7, 0.2, 0.1]).view(1, 3, 1, 1)
    measured = measure(p, torch.full((1, 3, 1, 1), 1 / 3))
    assert measured == pytest.approx((0.7, 0.801819, 0.801819, np.log(3) - 0.801819), abs=1e-6)
    one_class = torch.tensor([0.98, 0.01, 0.01]).view(1, 3, 1, 1)
    assert measure(one_class, p).marginal_entropy < 0.12 < measure(one_class, p).kl


def test_half_of_the_weights_have_been_restored_after_69_updates():
    first, network, rng = nn.Linear(200, 200), nn.Linear(200, 200), torch.Generator().manual_seed(0)
    changed = network.weight.detach().clone()
    shares = []
    for _ in range(69):
        restore_randomly(network, first, 0.01, rng)
        shares.append(float((network.weight == changed).float().mean()))
    assert shares[0] == pytest.approx(0.99, abs=0.002)
    assert shares[-1] == pytest.approx(0.5, abs=0.01)
    assert torch.equal(torch.where(network.weight == changed, changed, first.weight), network.weight)
    restore_randomly(network, first, 1.0, rng)
    assert torch.equal(network.weight, first.weight)


def test_the_teacher_keeps_its_share_from_the_first_update_on():
    teacher, student = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(teacher.weight, 1.0)
    nn.init.constant_(student.weight, 2.0)
    move_teacher(teacher, student, 0.999)
    assert teacher.weight.item() == pytest.approx(1.001)


def prediction(confidence: float, marginal_entropy: float = 1.0) -> Prediction:
    return Prediction(confidence, 0.5, marginal_entropy, 0.0)


def test_a_drop_of_the_confidence_by_3_deviations_is_another_scene():
    journal = Journal(CLASSES, "tent", 100)
    values = [0.8, 0.82] * 10
    for i, value in enumerate(values):
        assert not journal.is_other_scene(0.1) or i >= journals.FEWEST
        journal.add(str(i), prediction(value), None, True, None)
    bound = np.mean(values) - 3 * np.std(values)
    assert not journal.is_other_scene(bound + 1e-6)
    assert journal.is_other_scene(bound - 1e-6)
    journal.start_scene()
    assert not journal.is_other_scene(0.1)


def test_a_collapse_to_few_classes_is_warned_of():
    journal = Journal(CLASSES, "tent", 3)
    for name, marginal in (("a", 0.9), ("b", 0.4), ("c", 0.1)):
        journal.add(name, prediction(0.9, marginal), None, True, prediction(0.9, 1.0))
    (warning,) = journal.warnings()
    assert "2 of 3 frames, first b, have fewer classes" in warning


def test_the_journal_goes_on_from_its_state():
    one, other = Journal(CLASSES, "tent", 3), Journal(CLASSES, "tent", 3)
    one.add("a", prediction(0.9), None, True, prediction(0.9))
    one.score("a", 0, np.eye(3, dtype=np.int64), np.ones((3, 3), np.int64))
    other.load_state_dict(one.state_dict())
    for journal in (one, other):
        journal.add("b", prediction(0.7), "scene", False, prediction(0.9))
        journal.score("b", 2, None, None)
    assert json.dumps(one.document(None, True)) == json.dumps(other.document(None, True))
    assert one.document(None, True)["frames"]["b"]["miou"] is None


def test_tent_takes_layer_norm_where_the_encoder_has_no_batch_norm():
    network = models.construct(Model(encoder="test_vit", decoder="linear", weights="none"), 3)
    layers = normalisation_layers(network)
    assert layers
    assert all(isinstance(layer, nn.LayerNorm) for layer in layers)
    network.backbone = nn.Conv2d(3, 3, 1)
    for name in [name for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)]:
        network.set_submodule(name, nn.Identity())
    with pytest.raises(UdasegError, match="this network has neither"):
        normalisation_layers(network)
