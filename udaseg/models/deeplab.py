"""DeepLab-v2: an encoder at output stride 8, and the sum of dilated 3x3 classifiers."""

from torch import Tensor, nn

from udaseg.config import Model
from udaseg.models.encoders import build_encoder
from udaseg.models.network import Network
from udaseg.models.output import Output


class Pyramid(nn.ModuleList):
    """Compute class logits as the sum of one dilated 3x3 convolution, with bias, for each dilation (ASPP)."""

    def __init__(self, channels: int, classes: int, dilations: tuple[int, ...]):
        super().__init__(nn.Conv2d(channels, classes, 3, padding=dilation, dilation=dilation) for dilation in dilations)
        for branch in self:
            nn.init.normal_(branch.weight, std=0.01)

    def forward(self, features_NDhw: Tensor) -> Tensor:
        first, *others = self
        logits_NChw = first(features_NDhw)
        for branch in others:
            logits_NChw = logits_NChw + branch(features_NDhw)
        return logits_NChw


class DeepLab(Network):
    """Compute class logits at stride 8 with atrous spatial pyramid pooling (DeepLab-v2, section 3.2).

    `aspp` lists the dilations; every branch is used. The first public UDA codes used only two of their four branches:
    `aspp=(6, 12)` builds that network. `auxiliary` adds a second classifier on layer 3, for training only
    (AdaptSegNet, multi-level). Features are the output of layer 4.
    """

    align_corners = True

    def __init__(
        self, backbone: str, classes: int, aspp: tuple[int, ...] = (6, 12, 18, 24), *, auxiliary: bool = False
    ):
        super().__init__()
        self.backbone = build_encoder(backbone, output_stride=8, ceil_mode=True, taps=(3, 4))
        middle, self.feature_channels = self.backbone.channels
        self.classifier = Pyramid(self.feature_channels, classes, aspp)
        self.auxiliary = Pyramid(middle, classes, aspp) if auxiliary else None
        self.inner_classifiers = int(auxiliary)

    def forward(self, image_N3HW: Tensor) -> Output:
        middle_NDhw, features_NDhw = self.backbone(image_N3HW)
        aux = (self.auxiliary(middle_NDhw),) if self.auxiliary is not None and self.training else ()
        return Output(self.classifier(features_NDhw), features_NDhw, aux, **self.heads(features_NDhw))


def build(settings: Model, classes: int) -> DeepLab:
    """Build a DeepLab from the `model` section of a recipe."""
    return DeepLab(settings.backbone, classes, settings.aspp, auxiliary=settings.auxiliary is not None)
