"""The context-aware decoder of DAFormer."""

import torch
from torch import Tensor, nn

from udaseg.config import Model
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.decoders.neck import build_neck
from udaseg.models.decoders.segformer import project
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network

WIDTH = 256
DILATIONS = (6, 12, 18)


def normalised(*convolutions: nn.Conv2d) -> nn.Sequential:
    """Build convolutions, each with batch norm and ReLU."""
    layers = ((convolution, BatchNorm(convolution.out_channels), nn.ReLU(inplace=True)) for convolution in convolutions)
    return nn.Sequential(*(layer for triple in layers for layer in triple))


class DAFormer(Network):
    """Compute class logits at stride 4 from all four levels, with the context around each pixel (DAFormer, figure 2).

    A linear layer gives every level the same number of channels. All are enlarged to the first level's size and
    concatenated, the finest first. Four branches follow: a 1x1 convolution, and separable 3x3 convolutions with the
    dilations 6, 12 and 18. A 3x3 convolution merges them into the features. The paper's dropout before the classifier
    is left out.
    """

    align_corners = False
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, classes: int, width: int):
        super().__init__()
        self.backbone = encoder
        self.neck = build_neck(encoder)
        self.feature_channels, inputs = width, 4 * width
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in encoder.channels)
        self.branches = nn.ModuleList([normalised(nn.Conv2d(inputs, width, 1, bias=False))])
        for dilation in DILATIONS:
            depthwise = nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False)
            self.branches.append(normalised(depthwise, nn.Conv2d(inputs, width, 1, bias=False)))
        self.bottleneck = normalised(nn.Conv2d(4 * width, width, 3, padding=1, bias=False))
        self.classifier = nn.Conv2d(width, classes, 1)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        levels_NDhw = torch.cat(project(self.laterals, self.neck(maps)), dim=1)
        features_NDhw = self.bottleneck(torch.cat([branch(levels_NDhw) for branch in self.branches], dim=1))
        return Decoded(self.classifier(features_NDhw), features_NDhw)


def build(settings: Model, classes: int) -> DAFormer:
    """Build a DAFormer from the `model` section of a recipe."""
    return DAFormer(select_encoder(settings, (1, 2, 3, 4)), classes, settings.width or WIDTH)
