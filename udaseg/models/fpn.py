"""A light feature pyramid network: the network of the toy scale, fast without a GPU."""

from torch import Tensor, nn
from torch.nn import functional

from udaseg.config import Model
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders import build_encoder
from udaseg.models.network import Network
from udaseg.models.output import Output


class FPN(Network):
    """Compute class logits at stride 4 from all four levels (after the Panoptic FPN's semantic branch, figure 3).

    1x1 convolutions give all levels the same number of channels: 64 with ResNet-18, else 128. From the coarsest
    level on, the sum is enlarged bilinearly and added to the next finer level. A 3x3 convolution smooths the result,
    which is the feature map. `auxiliary` adds a second classifier, a 1x1 convolution of layer 3, for training only.
    """

    align_corners = False

    def __init__(self, backbone: str, classes: int, *, auxiliary: bool = False):
        super().__init__()
        self.backbone = build_encoder(backbone, taps=(1, 2, 3, 4))
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


def build(settings: Model, classes: int) -> FPN:
    """Build an FPN from the `model` section of a recipe."""
    return FPN(settings.backbone, classes, auxiliary=settings.auxiliary is not None)
