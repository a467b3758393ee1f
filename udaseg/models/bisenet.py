"""BiSeNet (v1): a shallow spatial path beside a deep context path, for real time."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders.resnet import ResNet
from udaseg.models.network import Network
from udaseg.models.output import Output


def resized(x_NChw: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(x_NChw, size=size, mode="bilinear", align_corners=False)


def down(inputs: int, outputs: int) -> nn.Sequential:
    """Halve the size: 3x3 convolution of stride 2, normalisation, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, BatchNorm(outputs), nn.ReLU(inplace=True))


class AttentionRefinement(nn.Module):
    """Weigh each channel by a gate computed from its global mean (BiSeNet, figure 2b)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.bn = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.bn(self.conv(x.mean((2, 3), keepdim=True))).sigmoid()


class FeatureFusion(nn.Module):
    """Merge both paths into one channel per class and add a gated copy (BiSeNet, figure 2c)."""

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


class SideBySide(nn.ModuleList):
    """Show one input to several modules."""

    def forward(self, x: Tensor) -> None:
        for module in self:
            module(x)


class BiSeNet(Network):
    """Score classes at stride 8; in training also from both context levels.

    Any input size works, also a batch of one in training: maps meet on the spatial path's own grid. Features
    are the concatenated paths before fusion (1024 channels with ResNet-18), the last map that is wider
    than the classes.
    """

    align_corners = False
    inner_classifiers = 2

    def __init__(self, backbone: str, classes: int):
        super().__init__()
        self.backbone = ResNet(backbone, taps=(3, 4))
        mid, deep = self.backbone.channels
        self.spatial = nn.Sequential(down(3, 64), down(64, 128), down(128, 256))
        self.refine16, self.refine32 = AttentionRefinement(mid), AttentionRefinement(deep)
        self.supervise16, self.supervise32 = nn.Conv2d(mid, classes, 1), nn.Conv2d(deep, classes, 1)
        self.feature_channels = 256 + mid + deep
        self.fusion = FeatureFusion(self.feature_channels, classes)
        self.classifier = nn.Conv2d(classes, classes, 1)

    def stem(self) -> nn.Module:
        """Give what an image meets first on both paths, up to its batch norm."""
        return SideBySide([super().stem(), self.spatial[0][:2]]).train(self.training)

    def forward(self, image_N3HW: Tensor) -> Output:
        spatial = self.spatial(image_N3HW)
        size = spatial.shape[-2:]
        mid, deep = self.backbone(image_N3HW)
        mid = self.refine16(mid)
        deep = self.refine32(deep) * deep.mean((2, 3), keepdim=True)
        features = torch.cat([spatial, resized(mid, size), resized(deep, size)], dim=1)
        # The paper upsamples and then applies the 1x1 convolutions. Both are linear, the one over channels, the
        # other over pixels with weights that sum to one, so they commute: here the small map is convolved.
        logits = self.classifier(self.fusion(features))
        if not self.training:
            return Output(logits, features, **self.heads(features))
        aux = (resized(self.supervise16(mid), size), resized(self.supervise32(deep), size))
        return Output(logits, features, aux, **self.heads(features))
