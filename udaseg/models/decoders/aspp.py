"""The decoder of ProDA: five branches over the last map of an encoder, then features of 256 channels."""

import torch
from torch import Tensor, nn

from udaseg.config import Model
from udaseg.errors import UdasegError
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network

WIDTH, GROUPS, SQUEEZE = 256, 32, 16


class SqueezeExcitation(nn.Module):
    """Scale each channel by a factor in 0 to 1 that follows from the means of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        squeezed = channels // SQUEEZE
        self.factors = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(inplace=True), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, map_NDhw: Tensor) -> Tensor:
        return map_NDhw * self.factors(map_NDhw.mean((2, 3)))[:, :, None, None]


class Aspp(Network):
    """Compute class logits at the encoder's stride from features of `width` channels (ProDA, its classifier).

    A 1x1 convolution and a dilated 3x3 convolution for each dilation of `aspp` look at the map side by side, each with
    group norm. Their results are concatenated and scaled by channel; a 3x3 convolution merges them into the features.
    In training whole channels of these are dropped.
    """

    align_corners = False
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, classes: int, dilations: tuple[int, ...], width: int):
        super().__init__()
        self.backbone, self.feature_channels = encoder, width
        (inputs,) = encoder.channels
        branches = [nn.Conv2d(inputs, width, 1)]
        branches += [nn.Conv2d(inputs, width, 3, padding=rate, dilation=rate) for rate in dilations]
        self.branches = nn.ModuleList(
            nn.Sequential(branch, nn.GroupNorm(GROUPS, width), nn.ReLU(inplace=True)) for branch in branches
        )
        joined = width * len(branches)
        self.bottleneck = nn.Sequential(
            SqueezeExcitation(joined), nn.Conv2d(joined, width, 3, padding=1), nn.GroupNorm(GROUPS, width)
        )
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(width, classes, 1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        joined_NDhw = torch.cat([branch(maps[-1]) for branch in self.branches], dim=1)
        features_NDhw = self.dropout(self.bottleneck(joined_NDhw))
        return Decoded(self.classifier(features_NDhw), features_NDhw)


def build(settings: Model, classes: int) -> Aspp:
    """Build the network from the `model` section of a recipe. Raises UdasegError unless 32 divides the width."""
    width = settings.width or WIDTH
    if width % GROUPS:
        raise UdasegError(
            f"model.width={width}: the decoder aspp normalises {GROUPS} groups of channels of one size",
            f"set model.width={max(GROUPS, width // GROUPS * GROUPS)}",
        )
    return Aspp(select_encoder(settings, (4,)), classes, settings.aspp, width)
