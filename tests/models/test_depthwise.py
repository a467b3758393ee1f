"""Depthwise convolutions train in float32 on a CPU where bf16 is slow, and nothing else of them changes."""

import copy

import pytest
import torch
from torch import nn

from udaseg.config import Model
from udaseg.models import construct
from udaseg.models.depthwise import train_depthwise_in_float32


def outputs(model, image_N3HW, chosen):
    """Give the number formats of what layers compute in bf16."""
    seen = []
    hooks = [layer.register_forward_hook(lambda *called: seen.append(called[-1].dtype)) for layer in chosen]
    with torch.autocast("cpu", torch.bfloat16):
        model(image_N3HW)
    for hook in hooks:
        hook.remove()
    return seen


def test_training_is_in_float32_where_bf16_is_slow_and_inference_in_bf16():
    model = construct(Model(encoder="test_efficientnet", decoder="fpn", weights="none", bn="train"), 3)
    slow = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert len(slow) > 0
    image_N3HW = torch.rand(2, 3, 32, 64)
    assert outputs(model, image_N3HW, slow) == [torch.float32] * len(slow)
    with torch.no_grad():
        assert outputs(model, image_N3HW, slow) == [torch.bfloat16] * len(slow)


@pytest.mark.parametrize("options", [{"groups": 4}, {"groups": 2, "stride": 2}, {"stride": 2}])
def test_other_layers_train_in_bf16(options):
    layer = nn.Conv2d(4, 4, 3, **options)
    train_depthwise_in_float32(layer)
    assert outputs(layer, torch.rand(1, 4, 8, 8), [layer]) == [torch.bfloat16]


@pytest.mark.parametrize("options", [{"kernel_size": 5, "padding": 2}, {"kernel_size": 3, "stride": 2}])
def test_gradients_are_those_of_float32(options):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 4, groups=4, **options)
    layer = copy.deepcopy(plain)
    train_depthwise_in_float32(layer)
    assert layer.state_dict().keys() == plain.state_dict().keys()
    x_NCHW = torch.randn(2, 4, 16, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        layer(x_NCHW).square().sum().backward()
    plain(x_NCHW.float()).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad, rtol=0, atol=0)


def test_a_copy_has_weights_of_its_own():
    layer = nn.Conv2d(4, 4, 5, groups=4, bias=False)
    train_depthwise_in_float32(layer)
    other = copy.deepcopy(layer)
    nn.init.zeros_(other.weight)
    assert not other(torch.ones(1, 4, 8, 8)).any()
    assert layer(torch.ones(1, 4, 8, 8)).any()
