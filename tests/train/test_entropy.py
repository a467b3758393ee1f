"""The penalties on unsure predictions of the target: on which logits and pixels they are, and when they begin."""

import pytest
import torch

from udaseg.config import Retrain, Warmup
from udaseg.models.output import Output
from udaseg.train import losses
from udaseg.train.domains import DomainOutput
from udaseg.train.entropy import delay_entropy, entropy_terms


@pytest.fixture
def outputs():
    torch.manual_seed(0)
    coarse, inner = torch.randn(2, 1, 3, 2, 3) * 3
    full = losses.upsample(coarse, (4, 6), align_corners=False)
    label = torch.tensor([[0, 255, 1, 255, 255, 2]], dtype=torch.uint8).expand(4, 6)[None]
    output = Output(coarse, torch.zeros(1, 1, 2, 3), (inner,))
    return {"target": DomainOutput(output, full, label=label, align_corners=False)}


def value(settings, outputs):
    terms = {}
    for term in entropy_terms(settings, align_corners=False):
        terms |= term(outputs)
    return terms


def test_without_a_weight_there_is_no_penalty(outputs):
    assert value(Warmup(), outputs) == value(Retrain(), outputs) == {}


@pytest.mark.parametrize(
    ("kind", "loss", "at_stride"),
    [
        ("robust", losses.robust_entropy, True),
        ("plain", losses.mean_entropy, False),
        ("max-square", losses.max_square, False),
    ],
)
def test_each_penalty_is_on_the_logits_of_its_paper(outputs, kind, loss, at_stride):
    target = outputs["target"]
    terms = value(Warmup(entropy=kind, entropy_weight=0.5), outputs)
    assert list(terms) == ["entropy"]
    torch.testing.assert_close(terms["entropy"], 0.5 * loss(target.output.logits if at_stride else target.full))
    torch.testing.assert_close(value(Retrain(entropy=kind, entropy_weight=0.5), outputs), terms)


def test_the_inner_classifier_has_a_penalty_of_its_own(outputs):
    settings = Warmup(entropy="plain", entropy_weight=0.001, entropy_auxiliary=0.0002)
    terms = value(settings, outputs)
    inner = losses.upsample(outputs["target"].output.aux[0], (4, 6), align_corners=False)
    assert list(terms) == ["entropy", "entropy_aux1"]
    torch.testing.assert_close(terms["entropy_aux1"], 0.0002 * losses.mean_entropy(inner))


def test_unlabelled_pixels_alone(outputs):
    target = outputs["target"]
    settings = Retrain(entropy="plain", entropy_weight=1.0, entropy_pixels="unlabelled")
    ignored = target.label == 255
    expected = losses.entropy_map(target.full)[ignored].mean()
    torch.testing.assert_close(value(settings, outputs)["entropy"], expected)
    inside = torch.zeros(1, 4, 6, dtype=torch.bool)
    inside[:, :, :4] = True  # the rest is padding, which is ignored too and no pixel of the image
    expected = losses.entropy_map(target.full)[ignored & inside].mean()
    padded = {"target": target._replace(valid=inside)}
    torch.testing.assert_close(value(settings, padded)["entropy"], expected)


def test_the_penalty_begins_after_some_steps():
    terms = {"source": torch.ones(()), "entropy": torch.ones(()), "entropy_aux1": torch.ones(())}
    objective = delay_entropy(lambda step, batch: dict(terms), 3)
    assert list(objective(2, None)) == ["source"]
    assert objective(3, None) == terms
