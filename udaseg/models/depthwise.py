"""Depthwise convolutions that train in float32 on a CPU, where the rest of a network runs in bf16."""

from functools import cache

import torch
from torch import Tensor, nn


class DepthwiseConv(nn.Conv2d):
    """A convolution of one channel a group. This class is put before that of a layer (`train_depthwise_in_float32`).

    On a CPU its weight gradient takes up to ten times as long in bf16 as in float32: more than a small network gains by
    bf16 in all its other layers. Kernels of 3x3 without stride and dilation alone are fast. Inference has no gradient,
    and stays in bf16.
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and x_NCHW.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
            return super().forward(x_NCHW)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_NCHW.float())


def train_depthwise_in_float32(model: nn.Module) -> None:
    """Give the depthwise convolutions of a network the class above, where bf16 is slow.

    Layers keep their weights, names and hooks.
    """
    for layer in model.modules():
        if not isinstance(layer, nn.Conv2d) or not layer.groups == layer.in_channels > 1:
            continue
        if (layer.kernel_size, layer.stride, layer.dilation) != ((3, 3), (1, 1), (1, 1)):
            layer.__class__ = _with_depthwise(type(layer))


@cache
def _with_depthwise(layer: type[nn.Conv2d]) -> type[nn.Conv2d]:
    return layer if issubclass(layer, DepthwiseConv) else type(layer.__name__, (DepthwiseConv, layer), {})
