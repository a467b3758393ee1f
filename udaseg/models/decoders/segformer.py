"""The all-MLP decoder of SegFormer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg.config import Model
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.decoders.neck import build_neck
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network

WIDTH = 256  # of MiT-B0 and B1 in the paper, which gives 768 to the larger ones


class SegFormer(Network):
    """Compute class logits at stride 4 from all four levels (SegFormer, section 3.2, equation 4).

    A linear layer gives every level the same number of channels. All are enlarged to the first level's size and
    concatenated, the deepest first, as in the published weights. A 1x1 convolution merges them into the features.
    The paper's dropout before the classifier is left out.
    """

    align_corners = False
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, classes: int, width: int):
        super().__init__()
        self.backbone = encoder
        self.neck = build_neck(encoder)
        self.feature_channels = width
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in encoder.channels)
        self.fuse = nn.Sequential(nn.Conv2d(4 * width, width, 1, bias=False), BatchNorm(width), nn.ReLU(inplace=True))
        self.classifier = nn.Conv2d(width, classes, 1)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        levels = project(self.laterals, self.neck(maps))
        features_NDhw = self.fuse(torch.cat(levels[::-1], dim=1))
        return Decoded(self.classifier(features_NDhw), features_NDhw)


def project(laterals: nn.ModuleList, maps: tuple[Tensor, ...]) -> list[Tensor]:
    """Apply one layer to each map and enlarge the results to the size of the first, bilinearly."""
    first, *others = (lateral(level) for lateral, level in zip(laterals, maps, strict=True))
    size = first.shape[-2:]
    return [first, *(functional.interpolate(level, size=size, mode="bilinear") for level in others)]


def build(settings: Model, classes: int) -> SegFormer:
    """Build a SegFormer from the `model` section of a recipe."""
    return SegFormer(select_encoder(settings, (1, 2, 3, 4)), classes, settings.width or WIDTH)
