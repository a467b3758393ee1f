"""DeepLab-v2: a dilated ResNet and the sum of dilated 3x3 classifiers."""

from torch import Tensor, nn

from udaseg.models.encoders.resnet import ResNet
from udaseg.models.network import Network
from udaseg.models.output import Output


class Pyramid(nn.ModuleList):
    """Score classes by the sum of one 3x3 convolution with bias for each dilation (atrous spatial pyramid pooling)."""

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
    """Score classes at stride 8 with atrous spatial pyramid pooling (DeepLab-v2, section 3.2).

    Every branch listed in `aspp` is used. The first public UDA codes returned after two of their four branches:
    `aspp=(6, 12)` is that network. `auxiliary` adds a second classifier, on layer 3, which training alone looks at
    (AdaptSegNet, multi-level). Features are the output of layer 4.
    """

    align_corners = True

    def __init__(
        self, backbone: str, classes: int, aspp: tuple[int, ...] = (6, 12, 18, 24), *, auxiliary: bool = False
    ):
        super().__init__()
        self.backbone = ResNet(backbone, output_stride=8, ceil_mode=True, taps=(3, 4))
        middle, self.feature_channels = self.backbone.channels
        self.classifier = Pyramid(self.feature_channels, classes, aspp)
        self.auxiliary = Pyramid(middle, classes, aspp) if auxiliary else None
        self.inner_classifiers = int(auxiliary)

    def forward(self, image_N3HW: Tensor) -> Output:
        middle_NDhw, features_NDhw = self.backbone(image_N3HW)
        aux = (self.auxiliary(middle_NDhw),) if self.auxiliary is not None and self.training else ()
        return Output(self.classifier(features_NDhw), features_NDhw, aux, **self.heads(features_NDhw))
