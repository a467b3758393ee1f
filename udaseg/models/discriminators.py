"""Discriminators: patches of an output map (full and light), and pixels of a feature map."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 1)
SLOPE = 0.2  # of the leaky ReLUs


def conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)


class Depthwise(nn.Conv2d):
    """A convolution of each channel by itself; on a CPU in float32, where its gradient in bf16 takes twice as long."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 4, stride=2, padding=1, groups=channels)

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        if maps_NCHW.device.type != "cpu":
            return super().forward(maps_NCHW)
        with torch.autocast("cpu", enabled=False):
            return super().forward(maps_NCHW.float())


def separable(inputs: int, outputs: int) -> nn.Module:
    # No activation between the two: together they stand for one convolution.
    return nn.Sequential(Depthwise(inputs), nn.Conv2d(inputs, outputs, 1))


def keep_scale(stack: nn.Sequential) -> nn.Sequential:
    """Draw the weights anew so that maps and gradients keep their scale from layer to layer (He et al., 2015).

    PyTorch's own initialisation takes a third of the variance in each convolution. A split one shrinks it twice: five
    of them say nearly the same of every map, and the gradient they send back is a thousandth of what it is so.
    """
    for module in stack.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=1.0 if isinstance(module, Depthwise) else SLOPE)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return stack


def patches(channels: int, layer: Callable[[int, int], nn.Module]) -> nn.Sequential:
    stack: list[nn.Module] = []
    for inputs, outputs in zip((channels, *WIDTHS), WIDTHS, strict=False):
        stack += [layer(inputs, outputs), nn.LeakyReLU(SLOPE, inplace=True)]
    return nn.Sequential(*stack[:-1])


def full(channels: int) -> nn.Sequential:
    """Build the fully convolutional patch discriminator (AdaptSegNet).

    Maps [N, channels, H, W], at least 32x32, to one domain logit per patch, [N, 1, h, w] at 1/32 of the
    size, rounded down at each halving. 2,781,121 parameters at 19 channels.
    """
    return patches(channels, conv)


def light(channels: int) -> nn.Sequential:
    """Build the patch discriminator from depthwise-separable convolutions: 191,364 parameters at 19 channels.

    Same input and output as `full`; all five convolutions are split, with biases.
    """
    return keep_scale(patches(channels, separable))


PATCH = {"full": full, "light": light}


class PixelDiscriminator(nn.Module):
    """Tell domain and class apart at each pixel of a feature map (FADA).

    features [N, D, h, w] -> logits [N, 2C, h, w]: C source classes first, then C target classes. It is 256 channels
    wide, as the authors train it (512 is a default that their code overrides), or four times as wide as features that
    are narrower than 64.
    """

    def __init__(self, feature_channels: int, classes: int):
        super().__init__()
        width = min(256, 4 * feature_channels)
        self.trunk = nn.Sequential(
            nn.Conv2d(feature_channels, width, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        )
        # One convolution with 2C outputs is two parallel ones of C, concatenated.
        self.classifier = nn.Conv2d(width // 2, 2 * classes, 3, padding=1)

    def forward(self, features_NDhw: Tensor) -> Tensor:
        return self.classifier(self.trunk(features_NDhw))
