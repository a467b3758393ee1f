"""The discriminators of adversarial training: on patches of an output map, and on pixels of a feature map."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 1)
SLOPE = 0.2  # slope of the leaky ReLUs below 0


def conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)


class Depthwise(nn.Conv2d):
    """Convolve each channel separately, 4x4 with stride 2; on a CPU in float32: bf16 gradients are twice as slow."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 4, stride=2, padding=1, groups=channels)

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        if maps_NCHW.device.type != "cpu":
            return super().forward(maps_NCHW)
        with torch.autocast("cpu", enabled=False):
            return super().forward(maps_NCHW.float())


def separable(inputs: int, outputs: int) -> nn.Module:
    # No activation between the two: together they replace one convolution.
    return nn.Sequential(Depthwise(inputs), nn.Conv2d(inputs, outputs, 1))


def initialise(stack: nn.Sequential) -> nn.Sequential:
    """Draw all weights again, so that maps and gradients keep their scale through the layers (He et al., 2015).

    PyTorch's default initialisation divides the variance by three in each convolution, and a separable one is two
    convolutions. After five of these, the output hardly depends on the input, and the gradient is 1000 times smaller.
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
    """Build the fully convolutional patch discriminator (AdaptSegNet): 2,781,121 parameters for 19 channels.

    Its input is float [N, channels, H, W], at least 32x32. Its output is one domain logit for each patch,
    [N, 1, h, w], at 1/32 of the size, rounded down at each of five halvings.
    """
    return patches(channels, conv)


def light(channels: int) -> nn.Sequential:
    """Build the patch discriminator from depthwise-separable convolutions: 191,364 parameters for 19 channels.

    Input and output are those of `full`. All five convolutions are separable, with biases.
    """
    return initialise(patches(channels, separable))


PATCH = {"full": full, "light": light}


class PixelDiscriminator(nn.Module):
    """Classify each pixel of a feature map by domain and class (FADA).

    Features float [N, D, h, w] give logits [N, 2C, h, w]: first the C classes of the source, then those of the
    target. The hidden width is 256, as in the authors' training, or 4 * D for features with fewer than 64 channels.
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
