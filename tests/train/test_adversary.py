"""The adversary: its views and losses, the module that each term trains, and a training as a whole."""

import json
import math
import os
import signal
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from udaseg import models
from udaseg.config import Adversary, Augment, Model, Warmup
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.models import checkpoint
from udaseg.models.output import Output
from udaseg.train import adversary as adversaries
from udaseg.train import objectives
from udaseg.train.adversary import ACCURACY, CLIP, SOURCE, TARGET, VIEWS, training_warnings
from udaseg.train.domains import DomainOutput
from udaseg.train.loop import Interrupted
from udaseg.train.warmup import warmup

from .test_retrain import NETWORK, SPACE, Pictures

ALIGNMENTS = [
    {"align": "output"},
    {"align": "output", "loss": "least-squares", "discriminator": "light"},
    {"align": "entropy"},
    {"align": "fine-grained"},
]
CPU = torch.device("cpu")


def domain_output(logits: torch.Tensor) -> DomainOutput:
    return DomainOutput(Output(logits, logits), logits)


def test_entropy_maps_are_one_where_nothing_is_known_and_zero_where_all_is():
    logits = torch.zeros(1, 19, 2, 2)
    assert VIEWS["entropy"](domain_output(logits)).sum(1).allclose(torch.ones(1, 2, 2))
    logits[:, 3] = 1e4
    logits.requires_grad_()
    maps = VIEWS["entropy"](domain_output(logits))
    assert (maps == 0).all()
    maps.sum().backward()
    assert logits.grad.isfinite().all()


def test_output_maps_are_probabilities():
    maps = VIEWS["output"](domain_output(torch.randn(2, 5, 3, 4)))
    assert maps.sum(1).allclose(torch.ones(2, 3, 4))


def test_losses_at_known_logits():
    zero = torch.zeros(2, 1, 3, 4)
    for domain in (SOURCE, TARGET):
        assert adversaries.vanilla(zero, domain).item() == pytest.approx(math.log(2))
        assert adversaries.least_squares(zero + domain, domain).item() == 0
        assert adversaries.least_squares(zero + 0.5, domain).item() == pytest.approx(0.25)
    sure = torch.full((1, 1, 1, 1), 20.0)
    assert adversaries.vanilla(sure, TARGET).item() == pytest.approx(0, abs=1e-6)
    assert adversaries.vanilla(sure, SOURCE).item() == pytest.approx(20)


def test_fine_grained_of_a_certain_label_is_the_clipped_log_of_its_own_class():
    logits = torch.randn(1, 10, 1, 1)
    certain = torch.zeros(1, 5, 1, 1)
    certain[0, 2] = 1e4
    labels = adversaries.soft_labels(certain)
    assert labels.flatten().tolist() == pytest.approx([0, 0, CLIP, 0, 0])
    q = logits.flatten().softmax(0)
    assert adversaries.fine_grained(logits, SOURCE, labels).item() == pytest.approx(-0.9 * math.log(q[2]), rel=1e-5)
    assert adversaries.fine_grained(logits, TARGET, labels).item() == pytest.approx(-0.9 * math.log(q[7]), rel=1e-5)


def test_swapping_the_domains_swaps_the_halves():
    logits = torch.randn(2, 10, 3, 4)
    labels = adversaries.soft_labels(torch.randn(2, 5, 3, 4))
    swapped = torch.cat(logits.chunk(2, dim=1)[::-1], dim=1)
    loss = adversaries.fine_grained(logits, SOURCE, labels)
    assert loss.item() == pytest.approx(adversaries.fine_grained(swapped, TARGET, labels).item())


def test_soft_labels_are_those_of_the_temperature_and_give_no_gradient():
    logits = torch.tensor([0.0, 1.8]).view(1, 2, 1, 1).requires_grad_()
    labels = adversaries.soft_labels(logits)
    assert labels.flatten().tolist() == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)])
    assert not labels.requires_grad


def trainables(settings: Adversary, network: Model = NETWORK, classes: int = 3):
    torch.manual_seed(0)
    model = models.construct(network, classes)
    trainable = adversaries.build_discriminator(settings, model.feature_channels, classes, CPU)
    loss_term = adversaries.adversarial_loss(trainable.module, settings, model.align_corners, nullcontext)
    return model, trainable.module, objectives.adaptation(model, network, nullcontext, [loss_term])


@pytest.mark.parametrize("settings", ALIGNMENTS, ids=str)
def test_padding_does_not_count(settings):
    """No logits in the padding of one domain change a term."""
    settings = Adversary(**settings)
    torch.manual_seed(0)
    features = 3 if settings.align == "fine-grained" else 8
    trainable = adversaries.build_discriminator(settings, features, 3, CPU)
    loss_term = adversaries.adversarial_loss(trainable.module, settings, False, nullcontext)
    valid = torch.ones(2, 64, 96, dtype=torch.bool)
    valid[1, :, 64:] = False

    def terms(elsewhere: float, **masks):
        generator = torch.Generator().manual_seed(2)
        maps = {domain: torch.randn(2, 3, 64, 96, generator=generator) for domain in ("source", "target")}
        for logits in maps.values():
            logits[1, 0, :, 64:] += elsewhere
        return loss_term(
            {name: DomainOutput(Output(logits, logits), logits, masks.get(name)) for name, logits in maps.items()}
        )

    padded = terms(0.0, target=valid)
    assert all(torch.equal(padded[name], term) for name, term in terms(5.0, target=valid).items())
    assert all(torch.equal(padded[name], term) for name, term in terms(5.0, source=valid, target=valid).items())
    assert not torch.equal(padded["discriminator"], terms(0.0)["discriminator"])
    full, plain = terms(0.0, target=torch.ones_like(valid)), terms(0.0)
    assert all(full[name].item() == pytest.approx(term.item(), rel=1e-5) for name, term in plain.items())
    assert all(term.isfinite() for term in terms(0.0, target=torch.zeros_like(valid)).values())


def batch(source=(64, 96), target=(64, 96)) -> Batch:
    rng = torch.Generator().manual_seed(1)
    image = lambda size: torch.randint(0, 255, (2, *size, 3), generator=rng, dtype=torch.uint8)  # noqa: E731
    labels = torch.randint(0, 3, (2, *source), generator=rng, dtype=torch.uint8)
    return Batch({"source_image": image(source), "source_label": labels, "target_image": image(target)})


def gradients(module: nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("settings", ALIGNMENTS)
def test_each_term_trains_one_module(settings):
    model, discriminator, objective = trainables(Adversary(**settings))
    for name, learns, idle in (("adversarial", model, discriminator), ("discriminator", discriminator, model)):
        terms = objective(0, batch())
        assert set(terms) == {"source", "adversarial", "discriminator", ACCURACY}
        terms[name].backward()
        assert gradients(learns) > 0
        assert all(p.grad is None for p in idle.parameters())
        model.zero_grad(), discriminator.zero_grad()
    assert all(p.requires_grad for p in discriminator.parameters())
    assert 0 <= terms[ACCURACY] <= 1
    assert not terms[ACCURACY].requires_grad


def test_the_adversarial_gradient_comes_from_the_target_alone():
    _, discriminator, _ = trainables(Adversary(align="output"))
    loss_term = adversaries.adversarial_loss(discriminator, Adversary(align="output"), True, nullcontext)
    source, target = (torch.randn(1, 3, 64, 64, requires_grad=True) for _ in range(2))
    loss_term({"source": domain_output(source), "target": domain_output(target)})["adversarial"].backward()
    assert source.grad is None
    assert target.grad.abs().sum() > 0


def test_adversarial_loss_is_that_of_taking_the_target_for_source_times_the_weight():
    settings = Adversary(align="output", weight=0.01)
    _, discriminator, _ = trainables(settings)
    nn.init.zeros_(discriminator[-1].weight), nn.init.constant_(discriminator[-1].bias, 3.0)
    loss_term = adversaries.adversarial_loss(discriminator, settings, True, nullcontext)
    maps = {domain: domain_output(torch.randn(1, 3, 64, 64)) for domain in ("source", "target")}
    terms = loss_term(maps)
    takes_for_source, takes_for_target = math.log1p(math.exp(3)), math.log1p(math.exp(-3))
    assert terms["adversarial"].item() == pytest.approx(0.01 * takes_for_source, rel=1e-5)
    assert terms["discriminator"].item() == pytest.approx((takes_for_source + takes_for_target) / 2, rel=1e-5)
    assert terms[ACCURACY].item() == 0.5  # it names the target everywhere


@pytest.mark.parametrize("settings", [*ALIGNMENTS[:2], ALIGNMENTS[3]])
def test_accuracy_is_one_of_a_discriminator_that_sees_all(settings):
    settings = Adversary(**settings)

    class Knows(nn.Module):
        def forward(self, view):
            logits = (view.mean((1, 2, 3), keepdim=True) > 0.4).float()
            if settings.align == "fine-grained":
                return torch.cat([1 - logits, logits], dim=1).repeat_interleave(3, dim=1)
            return logits if settings.loss == "least-squares" else logits - 0.5

    loss_term = adversaries.adversarial_loss(Knows(), settings, True, nullcontext)
    low = DomainOutput(Output(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)), torch.zeros(1, 3, 32, 32))
    high = DomainOutput(Output(low.full, torch.ones(1, 3, 32, 32)), low.full)
    right = 1.0 if settings.align == "fine-grained" else 0.5  # one third is the mean of all probabilities
    assert loss_term({"source": low, "target": high})[ACCURACY].item() == right


@pytest.mark.parametrize("align", ["output", "entropy"])
def test_each_level_has_its_own_discriminator(align):
    settings = Adversary(align=align, discriminator="light", weight=0.01, auxiliary=0.002)
    network = Model(**{**NETWORK.model_dump(), "auxiliary": 0.1})
    torch.manual_seed(0)
    model = models.construct(network, 3)
    discriminators, loss_terms = adversaries.build_adversaries(settings, model, 3, CPU, nullcontext)
    assert set(discriminators) == {"discriminator", "discriminator_aux1"}
    objective = objectives.adaptation(model, network, nullcontext, loss_terms)
    inner = ["adversarial_aux1", "discriminator_aux1", "discriminator_accuracy_aux1"]
    terms = objective(0, batch())
    assert set(terms) == {"source", "source_aux1", "adversarial", "discriminator", ACCURACY, *inner}
    for name in ("discriminator", "discriminator_aux1"):
        objective(0, batch())[name].backward()
        (other,) = discriminators.keys() - {name}
        learns, idle = discriminators[name].module, discriminators[other].module
        assert gradients(learns) > 0
        assert gradients(idle) == gradients(model) == 0
        learns.zero_grad()
    objective(0, batch())["adversarial_aux1"].backward()
    assert model.backbone.layer4[1].conv2.weight.grad is None  # an inner level leaves what comes after it alone
    assert gradients(model.auxiliary) > 0
    assert gradients(discriminators["discriminator_aux1"].module) == 0


def test_each_level_has_the_weight_of_its_setting():
    torch.manual_seed(0)
    model = models.construct(Model(**{**NETWORK.model_dump(), "auxiliary": 1.0}), 3)
    settings = Adversary(align="output", weight=0.01, auxiliary=0.002)
    values = {}
    for scale in (1, 2):
        torch.manual_seed(1)
        changed = settings.model_copy(update={"auxiliary": 0.002 * scale})
        _, loss_terms = adversaries.build_adversaries(changed, model, 3, CPU, nullcontext)
        network = Model(**{**NETWORK.model_dump(), "auxiliary": 0.1 * scale})
        values[scale] = objectives.adaptation(model, network, nullcontext, loss_terms)(0, batch())
    for name, once in values[1].items():
        times = 2 if name in ("source_aux1", "adversarial_aux1") else 1
        assert values[2][name].item() == pytest.approx(times * once.item(), rel=1e-4), name


def test_the_first_inner_classifier_of_bisenet_can_be_aligned():
    network = Model(name="bisenet", backbone="resnet18", weights="none")
    model = models.construct(network, 3)
    _, loss_terms = adversaries.build_adversaries(
        Adversary(align="output", auxiliary=0.002), model, 3, CPU, nullcontext
    )
    terms = objectives.adaptation(model, network, nullcontext, loss_terms)(0, batch())
    assert {"source_aux1", "source_aux2", "adversarial_aux1"} <= terms.keys()
    assert "adversarial_aux2" not in terms


@pytest.mark.parametrize("settings", [ALIGNMENTS[1], ALIGNMENTS[3]])
def test_domains_of_two_sizes_go_through_one_after_the_other(settings):
    _, _, objective = trainables(Adversary(**settings))
    terms = objective(0, batch((64, 96), (32, 64)))
    assert all(term.isfinite() for term in terms.values())


def test_supervision_heads_learn_from_the_source_only():
    _, _, objective = trainables(Adversary(**ALIGNMENTS[1]), Model(name="bisenet", backbone="resnet18", weights="none"))
    names = {"source", "source_aux1", "source_aux2", "adversarial", "discriminator", ACCURACY}
    assert set(objective(0, batch())) == names


def test_images_smaller_than_a_patch_are_refused():
    _, _, objective = trainables(Adversary(align="output"))
    with pytest.raises(UdasegError, match=r"target images are 24x64, and a patch .* 32 pixels"):
        objective(0, batch((64, 96), (24, 64)))


def test_temperature_divides_the_logits_of_the_cross_entropy():
    torch.manual_seed(0)
    model, _, _ = trainables(Adversary(align="output"))
    model.eval()
    plain = objectives.adaptation(model, NETWORK, nullcontext, [])(0, batch())["source"]
    cooled = objectives.adaptation(model, NETWORK, nullcontext, [], 2.0)(0, batch())["source"]
    model.classifier.weight.data /= 2
    model.classifier.bias.data /= 2
    assert objectives.adaptation(model, NETWORK, nullcontext, [])(0, batch())["source"].item() == pytest.approx(
        cooled.item(), rel=1e-5
    )
    assert plain.item() != pytest.approx(cooled.item())


# --- a whole training ---------------------------------------------------------------------------------------------

SETTINGS = Warmup(steps=4, batch=2, save_every=3, log_every=1, augment=Augment(crop=(32, 32), jitter=0.3))
TARGET_IMAGES = replace(Pictures(), records=Pictures().records[:4])


def train(out, settings=SETTINGS, stop_at=None, **adversary):
    out.mkdir(exist_ok=True)
    sets = (View(Pictures(), (64, 96)), View(TARGET_IMAGES, (64, 96)))
    stop = (lambda done, _: os.kill(os.getpid(), signal.SIGTERM) if done == stop_at else None) if stop_at else None
    warmup(*sets, NETWORK, settings, out, seed=3, adversary=Adversary(**adversary), progress=stop)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_an_interrupted_training_continues_to_the_same_modules(tmp_path):
    adversary = {"align": "output", "discriminator": "light"}
    lines = train(tmp_path / "alone", **adversary)
    names = ["adversarial", "discriminator", ACCURACY, "loss", "lr", "source", "step"]
    assert [sorted(line) for line in lines] == [names] * 4
    for line in lines:
        assert line["loss"] == pytest.approx(line["source"] + line["adversarial"] + line["discriminator"], rel=1e-5)
        assert 0 <= line[ACCURACY] <= 1
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", stop_at=1, **adversary)
    assert not (tmp_path / "stopped" / "model.pt").exists()
    train(tmp_path / "stopped", **adversary)
    for name in ("model.pt", "log.jsonl"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    state, again = (torch.load(tmp_path / run / "state.pt", weights_only=True) for run in ("alone", "stopped"))
    torch.testing.assert_close(state, again, rtol=0, atol=0)
    assert set(state["modules"]) == set(state["optimizers"]) == {"model", "discriminator"}
    assert state["optimizers"]["discriminator"]["param_groups"][0]["betas"] == (0.9, 0.99)


def test_network_and_discriminator_learn(tmp_path):
    settings = SETTINGS.model_copy(update={"steps": 1})
    train(tmp_path / "one", settings, align="output", lr=1e-3)
    state = torch.load(tmp_path / "one" / "state.pt", weights_only=True)
    train(tmp_path / "two", settings, align="output", lr=1e-5)
    other = torch.load(tmp_path / "two" / "state.pt", weights_only=True)
    for name, differs in (("discriminator", True), ("model", False)):
        pairs = zip(state["modules"][name].values(), other["modules"][name].values(), strict=True)
        assert any(not torch.equal(one, two) for one, two in pairs) is differs


def test_entropy_and_restyled_source_need_no_adversary(tmp_path):
    lines = train(tmp_path / "plain")
    assert sorted(lines[0]) == ["loss", "lr", "source", "step"]
    settings = SETTINGS.model_copy(update={"entropy_weight": 0.5})
    certain = train(tmp_path / "certain", settings)
    assert sorted(certain[0]) == ["entropy", "loss", "lr", "source", "step"]
    assert 0 < certain[0]["entropy"] <= 0.51
    model, _ = checkpoint.load(tmp_path / "certain" / "model.pt")
    assert model.classifier.out_channels == len(SPACE)


# --- what the log shows -------------------------------------------------------------------------------------------


def written(tmp_path, accuracies, every=50):
    path = tmp_path / "log.jsonl"
    lines = [{"step": every * (i + 1), ACCURACY: value, "loss": 1.0, "lr": 0.1} for i, value in enumerate(accuracies)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(("value", "word"), [(0.99, "overpowered"), (1.0, "overpowered"), (0.5, "blind")])
def test_a_useless_discriminator_gives_a_warning(tmp_path, value, word):
    (warning,) = training_warnings(written(tmp_path, [0.7] * 20 + [value] * 20))
    assert word in warning
    assert "in the last 1000 steps" in warning
    assert f"{100 * value:.1f} %" in warning


def test_each_level_gives_its_own_warning(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [{"step": 50 * i, ACCURACY: 0.8, f"{ACCURACY}_aux1": 1.0, "loss": 1.0, "lr": 0.1} for i in range(1, 41)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (warning,) = training_warnings(path)
    assert "the discriminator of the inner level was right in 100.0 %" in warning
    assert "raise adversary.auxiliary" in warning


def test_a_useful_discriminator_or_a_short_training_gives_no_warning(tmp_path):
    assert training_warnings(written(tmp_path, [1.0] * 20 + [0.8] * 20)) == []
    assert training_warnings(written(tmp_path, [0.5] * 20 + [0.97] * 20)) == []
    assert training_warnings(written(tmp_path, [1.0, 1.0])) == []
    assert training_warnings(written(tmp_path, [1.0] * 100, every=1)) == []
    assert training_warnings(written(tmp_path, [])) == []
    assert len(training_warnings(written(tmp_path, [1.0] * 12))) == 1
    rng = np.random.default_rng(0)
    assert len(training_warnings(written(tmp_path, rng.normal(0.5, 0.2, 40)))) == 1
