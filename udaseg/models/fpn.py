"""A light top-down head on a ResNet: the network of the toy scale, fast without a GPU."""

from torch import Tensor, nn
from torch.nn import functional

from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders.resnet import ResNet
from udaseg.models.network import Network
from udaseg.models.output import Output


class FPN(Network):
    """Score classes at stride 4 from all four levels (after the Panoptic FPN's semantic branch, figure 3).

    Lateral 1x1 convolutions bring the levels to one width (64 with ResNet-18, else 128), each is added to
    the bilinearly enlarged level below it, and one 3x3 convolution smooths the sum. Features are that map.
    `auxiliary` adds a second classifier, a 1x1 convolution of layer 3, which training alone looks at.
    """

    align_corners = False

    def __init__(self, backbone: str, classes: int, *, auxiliary: bool = False):
        super().__init__()
        self.backbone = ResNet(backbone, taps=(1, 2, 3, 4))
        self.feature_channels = width = 64 if backbone == "resnet18" else 128
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.backbone.channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), BatchNorm(width), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Conv2d(width, classes, 1)
        self.auxiliary = nn.Conv2d(self.backbone.channels[2], classes, 1) if auxiliary else None
        self.inner_classifiers = int(auxiliary)

    def forward(self, image_N3HW: Tensor) -> Output:
        maps = self.backbone(image_N3HW)
        aux = (self.auxiliary(maps[2]),) if self.auxiliary is not None and self.training else ()
        levels = [lateral(level) for lateral, level in zip(self.laterals, maps, strict=True)]
        merged = levels.pop()
        while levels:
            finer = levels.pop()
            merged = finer + functional.interpolate(merged, size=finer.shape[-2:], mode="bilinear", align_corners=False)
        features_NDhw = self.smooth(merged)
        return Output(self.classifier(features_NDhw), features_NDhw, aux, **self.heads(features_NDhw))
