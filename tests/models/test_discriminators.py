import pytest
import torch
from torch import nn

from udaseg import config, models
from udaseg.models.complexity import complexity
from udaseg.models.discriminators import PATCH, PixelDiscriminator, full, light


@pytest.mark.parametrize(("channels", "expected"), [(19, 2_781_121), (16, 2_778_049), (7, 2_768_833)])
def test_full_has_the_published_parameters(channels, expected):
    assert complexity(full(channels), (64, 64), channels).parameters == expected


def test_light_has_the_published_parameters():
    assert complexity(light(19), (64, 64), 19).parameters == 191_364


@pytest.mark.parametrize(("name", "size", "rule", "giga"), [
    ("full", (512, 1024), "MAC", 15.439), ("light", (512, 1024), "MAC", 1.068),
    ("full", (512, 1024), "MAC+bias", 15.455), ("light", (512, 1024), "MAC+bias", 1.090),
    ("full", (1024, 1024), "2*MAC", 61.757), ("light", (1024, 1024), "2*MAC", 4.271),
    ("full", (1024, 2048), "MAC+bias", 61.820), ("light", (1024, 2048), "MAC+bias", 4.359),
])  # fmt: skip
def test_published_operations_need_the_rule_and_the_size(name, size, rule, giga):
    assert complexity(PATCH[name](19), size, 19).operations(rule) / 1e9 == pytest.approx(giga, abs=5e-4)


@pytest.mark.parametrize("name", ["full", "light"])
def test_patches_are_a_32nd_rounded_down_at_each_halving(name):
    with torch.device("meta"):
        network = PATCH[name](19)
        assert network(torch.empty(1, 19, 512, 1024)).shape == (1, 1, 16, 32)
        assert network(torch.empty(1, 19, 101, 67)).shape == (1, 1, 3, 2)
    assert isinstance(network[0], nn.Module)
    assert not isinstance(network[-1], nn.LeakyReLU)


@pytest.mark.parametrize("name", ["full", "light"])
def test_a_new_discriminator_sends_a_gradient_back(name):
    """With PyTorch's own weights that of the light one is 1e-4, a fifteenth of the full one's."""
    torch.manual_seed(0)
    discriminator = PATCH[name](19)
    maps = torch.randn(4, 19, 96, 192).mul(3).softmax(1).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(maps).mean(), maps)
    assert gradient.norm() > 1e-3


def test_pixel_discriminator_scores_each_class_in_each_domain():
    network = PixelDiscriminator(16, 5)
    features = torch.randn(2, 16, 9, 7, requires_grad=True)
    logits = network(features)
    assert logits.shape == (2, 10, 9, 7)
    logits.sum().backward()
    assert features.grad.abs().sum() > 0


def test_pixel_discriminator_is_as_published_on_wide_features_and_narrower_on_narrow_ones():
    """3x3 convolutions with biases: D to 256, to 128, to twice the classes."""
    wide, narrow = (sum(value.numel() for value in PixelDiscriminator(d, 19).parameters()) for d in (2048, 64))
    assert wide == (2048 * 256 + 256 * 128 + 128 * 38) * 9 + 256 + 128 + 38
    assert narrow == (64 * 256 + 256 * 128 + 128 * 38) * 9 + 256 + 128 + 38


def test_counting_a_network_changes_nothing_in_it():
    network = models.construct(config.Model(name="bisenet", backbone="resnet18", weights="none"), 19)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    cost = complexity(network, (512, 1024))
    assert cost.parameters == 12_068_672
    assert cost.operations("2*MAC") == 2 * cost.operations("MAC") == 2 * cost.macs
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_linear_layers_count_per_row():
    cost = complexity(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)), (8, 8))
    assert (cost.macs, cost.biases) == (12, 4)
