"""Decoders on encoders of every kind: pyramids with and without batch norm, and plain transformers."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from udaseg import config, models
from udaseg.config.networks import DECODERS
from udaseg.models import complexity, export
from udaseg.models.batchnorm import BatchNorm

ENCODERS = ["test_efficientnet", "test_convnext", "test_vit"]
# The stride of the logits on a pyramid, and on a transformer with patches of 16.
STRIDES = {
    "fpn": (4, 4), "deeplab": (32, 16), "bisenet": (8, 8), "segformer": (4, 4), "daformer": (4, 4),
    "aspp": (32, 16), "linear": (32, 16), "upscale": (8, 4), "fcn8s": (8, 16), "dilated": (32, 16),
}  # fmt: skip


def settings(encoder: str, decoder: str, **changes) -> config.Model:
    changes = {"weights": "none", "bn": "train", **changes}
    return models.resolve_color(config.Model(encoder=encoder, decoder=decoder, **changes))


def test_every_decoder_has_a_stride_here():
    assert STRIDES.keys() == DECODERS.keys()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_trains_on_every_kind_of_encoder(decoder, encoder):
    torch.manual_seed(0)
    network = models.construct(settings(encoder, decoder), 5)
    output = network(torch.randn(2, 3, 96, 192))
    sum(logits.square().mean() for logits in (output.logits, *output.aux)).backward()
    stride = STRIDES[decoder][encoder == "test_vit"]
    assert output.logits.shape == (2, 5, 96 // stride, 192 // stride)
    assert output.features.shape[1] == network.feature_channels
    assert output.deep.shape[0] == 2
    assert not network.align_corners
    assert len(output.aux) == network.inner_classifiers
    assert all(value.grad is not None for value in network.parameters())
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert all(isinstance(norm, BatchNorm) for norm in norms)


@pytest.mark.parametrize(
    ("encoder", "decoder", "width", "parameters"),
    [
        ("mit_b0", "segformer", None, 3_719_027),
        ("mit_b5", "segformer", 768, 84_607_955),
        ("mit_b5", "daformer", None, 85_155_283),
        ("resnet101", "aspp", None, 65_063_568),
    ],
)
def test_published_networks_have_their_number_of_parameters(encoder, decoder, width, parameters):
    with torch.device("meta"):
        network = models.construct(settings(encoder, decoder, width=width), 19)
    assert sum(value.numel() for value in network.parameters()) == parameters


def test_a_width_changes_the_features_and_not_the_encoder():
    with torch.device("meta"):
        narrow, wide = (models.construct(settings("test_efficientnet", "daformer", width=n), 3) for n in (16, 32))
    assert (narrow.feature_channels, wide.feature_channels) == (16, 32)
    assert [value.shape for value in narrow.backbone.parameters()] == [v.shape for v in wide.backbone.parameters()]


def test_operations_of_a_transformer_are_counted():
    with torch.device("meta"):
        network = models.construct(settings("test_vit", "linear"), 3)
    assert complexity.complexity(network, (64, 64)).parameters == sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_can_be_exported(decoder, tmp_path):
    from udaseg.models import checkpoint

    torch.manual_seed(0)
    model = settings("test_vit" if decoder in ("linear", "upscale") else "test_efficientnet", decoder)
    checkpoint.save(tmp_path / "model.pt", models.construct(model, 3), model, list("abc"))
    for kind, name in (("torch", "model.pt2"), ("safetensors", "model.safetensors")):
        assert export.export(tmp_path / "model.pt", kind, (64, 90), tmp_path / name).agreeing > 0.999


@pytest.mark.parametrize("bf16", [False, True])
def test_the_memory_of_training_is_what_a_step_keeps(bf16):
    network_settings = models.resolve_color(config.Model(name="bisenet", backbone="resnet18", weights="none"))
    network, kept = models.construct(network_settings, 5).train(), {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    told = complexity.training_memory(network, (64, 96), bf16=bf16)
    parameters = 4 * sum(value.numel() for value in network.parameters())
    weights = {value.untyped_storage().data_ptr() for value in (*network.parameters(), *network.buffers())}
    with saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = network(torch.randn(4, 3, 64, 96))
        for logits in (output.logits, *output.aux):
            full = functional.interpolate(logits.float(), size=(64, 96), mode="bilinear")
            functional.cross_entropy(full, torch.zeros(4, 64, 96, dtype=torch.int64))
    saved = sum(size for place, size in kept.items() if place not in weights)
    assert 4 * told.activations + told.weights - 2 * parameters == pytest.approx(saved, rel=0.02)
    assert (told.sgd, told.adamw) == (parameters, 2 * parameters)
