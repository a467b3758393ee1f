"""BiSeNet (v1), a fast network: a shallow spatial path beside a deep context path."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg.config import Model
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network


def resize(x_NChw: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(x_NChw, size=size, mode="bilinear", align_corners=False)


def halve(inputs: int, outputs: int) -> nn.Sequential:
    """Build a layer that halves height and width: 3x3 convolution of stride 2, normalisation, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, BatchNorm(outputs), nn.ReLU(inplace=True))


class AttentionRefinement(nn.Module):
    """Multiply each channel by a gate that is computed from the global means of all channels (BiSeNet, figure 2b)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.bn = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.bn(self.conv(x.mean((2, 3), keepdim=True))).sigmoid()


class FeatureFusion(nn.Module):
    """Merge both paths into one channel per class, and add a gated copy of the result (BiSeNet, figure 2c)."""

    def __init__(self, inputs: int, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, classes, 3, padding=1, bias=False)
        self.bn = BatchNorm(classes)
        self.squeeze = nn.Conv2d(classes, classes, 1)
        self.excite = nn.Conv2d(classes, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn(self.conv(x)))
        gate = self.excite(functional.relu(self.squeeze(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * gate + x


class Parallel(nn.ModuleList):
    """Run several modules on the same input, for the statistics that they collect; return nothing."""

    def forward(self, x: Tensor) -> None:
        for module in self:
            module(x)


class BiSeNet(Network):
    """Compute class logits at stride 8; in training also from both levels of the context path (BiSeNet, ECCV 2018).

    Any input size works, and a batch of one image in training: all maps are resized to the spatial path's grid.
    Features are the concatenated paths before the fusion, 1024 channels with ResNet-18.
    """

    align_corners = False
    inner_classifiers = 2

    def __init__(self, encoder: Encoder, classes: int):
        super().__init__()
        self.backbone = encoder
        mid, deep = self.backbone.channels
        self.spatial = nn.Sequential(halve(3, 64), halve(64, 128), halve(128, 256))
        self.refine16, self.refine32 = AttentionRefinement(mid), AttentionRefinement(deep)
        self.supervise16, self.supervise32 = nn.Conv2d(mid, classes, 1), nn.Conv2d(deep, classes, 1)
        self.feature_channels = 256 + mid + deep
        self.fusion = FeatureFusion(self.feature_channels, classes)
        self.classifier = nn.Conv2d(classes, classes, 1)

    def stem(self) -> nn.Module:
        """Return the first layer of both paths: convolution and batch norm."""
        return Parallel([super().stem(), self.spatial[0][:2]]).train(self.training)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        spatial = self.spatial(image_N3HW)
        size = spatial.shape[-2:]
        mid, deep = maps
        mid = self.refine16(mid)
        deep = self.refine32(deep) * deep.mean((2, 3), keepdim=True)
        features = torch.cat([spatial, resize(mid, size), resize(deep, size)], dim=1)
        # The paper upsamples and then applies the 1x1 convolutions. Both are linear, the one over channels, the
        # other over pixels with weights that sum to one, so they commute: here the small map is convolved.
        logits = self.classifier(self.fusion(features))
        if not self.training:
            return Decoded(logits, features)
        aux = (resize(self.supervise16(mid), size), resize(self.supervise32(deep), size))
        return Decoded(logits, features, aux)


def build(settings: Model, classes: int) -> BiSeNet:
    """Build a BiSeNet from the `model` section of a recipe."""
    return BiSeNet(select_encoder(settings, (3, 4)), classes)
