"""DeepLab-v2: a dilated ResNet and the sum of dilated 3x3 classifiers."""

from torch import Tensor, nn

from udaseg.models.backbone import Network, ResNet
from udaseg.models.output import Output


class DeepLab(Network):
    """Score classes at stride 8 with atrous spatial pyramid pooling (DeepLab-v2, section 3.2).

    The head is the sum of one 3x3 convolution with bias for each dilation in `aspp`; every branch listed is
    used. The first public UDA codes returned after two of their four branches: `aspp=(6, 12)` is that
    network. Features are the output of layer 4.
    """

    align_corners = True

    def __init__(self, backbone: str, classes: int, aspp: tuple[int, ...] = (6, 12, 18, 24)):
        super().__init__()
        self.backbone = ResNet(backbone, output_stride=8, ceil_mode=True)
        (self.feature_channels,) = self.backbone.channels
        self.classifier = nn.ModuleList(
            nn.Conv2d(self.feature_channels, classes, 3, padding=dilation, dilation=dilation) for dilation in aspp
        )
        for branch in self.classifier:
            nn.init.normal_(branch.weight, std=0.01)

    def forward(self, image_N3HW: Tensor) -> Output:
        (features_NDhw,) = self.backbone(image_N3HW)
        logits_NChw = self.classifier[0](features_NDhw)
        for branch in self.classifier[1:]:
            logits_NChw = logits_NChw + branch(features_NDhw)
        return Output(logits_NChw, features_NDhw)
