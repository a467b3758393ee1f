"""Training with less memory: a batch in parts, and activations computed twice."""

from contextlib import nullcontext

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from udaseg import models
from udaseg.config import Adversary, Augment, Model, Warmup
from udaseg.data.batches import Batch
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.labels import IGNORE
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.discriminators import PATCH
from udaseg.train import setup
from udaseg.train.adversary import adversarial_loss
from udaseg.train.entropy import penalise
from udaseg.train.objectives import adaptation, self_training
from udaseg.train.warmup import warmup

from .test_retrain import Pictures

SIZE = (32, 48)


def network(**settings) -> tuple[Model, models.Network]:
    settings = models.resolve_color(Model(**settings))
    torch.manual_seed(0)
    return settings, models.construct(settings, 3).train()


def batch(images: int = 5) -> Batch:
    """Make images of which some have many labels, some few, one none; the last ones do not fill their size."""
    draw = torch.Generator().manual_seed(1)
    parts = {}
    for domain in ("source", "target"):
        label_NHW = torch.randint(0, 3, (images, *SIZE), generator=draw, dtype=torch.uint8)
        for i in range(images):
            label_NHW[i, : SIZE[0] * i // (images - 1)] = IGNORE
        valid_NHW = torch.ones(images, *SIZE, dtype=torch.bool)
        valid_NHW[-1, 16:] = False
        image_NHWC = torch.randint(0, 255, (images, *SIZE, 3), generator=draw, dtype=torch.uint8)
        parts |= {f"{domain}_image": image_NHWC, f"{domain}_label": label_NHW, f"{domain}_valid": valid_NHW}
    return Batch(parts)


def gradients(parts: int) -> tuple[dict[str, float], list[torch.Tensor]]:
    settings, model = network(encoder="test_resnet", decoder="fpn", weights="none")
    for module in model.modules():
        if isinstance(module, BatchNorm):  # which sees the images of one part
            module.frozen = True
    model.train()
    torch.manual_seed(1)
    discriminator = PATCH["light"](3)
    adversary = Adversary(align="output", discriminator="light", weight=0.1)
    terms = [penalise("robust", 0.3), adversarial_loss(discriminator, adversary, model.align_corners, nullcontext)]
    values = adaptation(model, settings, nullcontext, terms, parts=parts)(0, batch())
    torch.stack(list(values.values())).sum().backward()
    named = [*model.named_parameters(), *discriminator.named_parameters()]
    return {name: value.item() for name, value in values.items()}, [value.grad for _, value in named]


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_the_gradients_of_a_batch_in_parts_are_those_of_the_whole(parts):
    whole, whole_gradients = gradients(1)
    terms, part_gradients = gradients(parts)
    assert terms == pytest.approx(whole, rel=1e-5)
    for one, other in zip(whole_gradients, part_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def saved_bytes(parts: int, *, twice: bool = False) -> int:
    """Return the bytes that a network keeps for the backward pass."""
    settings, model = network(encoder="mit_b0", decoder="linear", weights="none", bn="train")
    if twice:
        model.backbone.checkpoint_activations()
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    large = Batch({name: value.repeat_interleave(2, 1).repeat_interleave(2, 2) for name, value in batch(4).items()})
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        list(self_training(model, settings, nullcontext, 1.0, parts=parts)(0, large))
    return sum(storages.values())


def test_a_batch_in_parts_keeps_less():
    assert saved_bytes(4) < 0.5 * saved_bytes(1)


def test_computing_activations_twice_keeps_less():
    assert saved_bytes(1, twice=True) < 0.4 * saved_bytes(1)


NAMED = {
    "resnet18": {"name": "fpn", "backbone": "resnet18"},
    "vgg16": {"name": "fcn8s", "backbone": "vgg16"},
    "resnet38": {"name": "dilated", "backbone": "resnet38"},
}


def train(out, encoder, progress=None, **changes):
    out.mkdir(exist_ok=True)
    view = View(Pictures(), (64, 96))
    named = NAMED.get(encoder, {"encoder": encoder, "drop_path": 0.2})
    settings = Warmup(
        **{"steps": 3, "batch": 3, "save_every": 3, "log_every": 1, "precision": "fp32", **changes},
        augment=Augment(crop=SIZE),
        adabn=False if encoder in ("test_vit", "vgg16") else "stem",
    )
    model = Model(**named, weights="none", bn="train")
    warmup(view, view, model, settings, out, seed=0, adversary=Adversary(align="output", weight=0.1), progress=progress)
    return torch.load(out / "model.pt", weights_only=True)["model"], (out / "log.jsonl").read_text()


@pytest.mark.parametrize("encoder", ["resnet18", "test_efficientnet", "test_vit"])
def test_computing_activations_twice_changes_no_result(tmp_path, encoder):
    plain, log = train(tmp_path / "plain", encoder)
    twice, log_twice = train(tmp_path / "twice", encoder, activation_checkpointing=True)
    assert log == log_twice
    assert plain.keys() == twice.keys()
    assert all(torch.equal(value, twice[name]) for name, value in plain.items())


def test_batch_norm_counts_every_part_once(tmp_path):
    weights, _ = train(tmp_path, "resnet18", accumulate=3)
    assert {int(value) for name, value in weights.items() if name.endswith("layer1.0.bn1.num_batches_tracked")} == {9}


def test_an_encoder_that_cannot_compute_its_activations_twice_is_refused(monkeypatch):
    import timm

    monkeypatch.delattr(timm.models.VisionTransformer, "set_grad_checkpointing")
    settings = models.resolve_color(Model(encoder="test_vit", decoder="linear", weights="none", bn="train"))
    with pytest.raises(UdasegError, match="a VisionTransformer, cannot compute its activations twice"):
        setup.network(settings, Warmup(activation_checkpointing=True), "abc", 0, torch.device("cpu"), print)


def test_more_parts_than_images_of_a_process_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UdasegError, match="accumulate=2 needs as many source images in a step, and a process has 1"):
        train(tmp_path, "resnet18", accumulate=2)


class Stop(Exception):  # noqa: N818 - it is no error
    """End a training from outside."""


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_vit", "vgg16", "resnet38"])
def test_a_network_with_dropout_that_was_stopped_goes_on_to_the_same_weights(tmp_path, encoder, narrow):
    def stop(done, total):
        if done == 2:
            raise Stop

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    weights, log = train(whole, encoder, steps=4, save_every=1)
    with pytest.raises(Stop):
        train(stopped, encoder, steps=4, save_every=1, progress=stop)
    resumed, log_resumed = train(stopped, encoder, steps=4, save_every=1)
    assert log_resumed == log
    assert all(torch.equal(value, resumed[name]) for name, value in weights.items())
