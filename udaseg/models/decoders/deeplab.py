"""DeepLab-v2: the sum of dilated 3x3 classifiers on the last map of an encoder, in the paper at stride 8."""

from torch import Tensor, nn

from udaseg.config import Model
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network


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
    """Compute class logits at the encoder's stride with atrous spatial pyramid pooling (DeepLab-v2, section 3.2).

    `aspp` lists the dilations; every branch is used. The first public UDA codes used only two of their four branches:
    `aspp=(6, 12)` builds that network. `auxiliary` adds a second classifier on layer 3, for training only
    (AdaptSegNet, multi-level). Features are the output of layer 4.
    """

    def __init__(self, encoder: Encoder, classes: int, aspp: tuple[int, ...], *, align_corners: bool, auxiliary: bool):
        super().__init__()
        self.backbone, self.align_corners = encoder, align_corners
        middle, self.feature_channels = self.backbone.channels
        self.classifier = Pyramid(self.feature_channels, classes, aspp)
        self.auxiliary = Pyramid(middle, classes, aspp) if auxiliary else None
        self.inner_classifiers = int(auxiliary)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        middle_NDhw, features_NDhw = maps
        aux = (self.auxiliary(middle_NDhw),) if self.auxiliary is not None and self.training else ()
        return Decoded(self.classifier(features_NDhw), features_NDhw, aux)


def build(settings: Model, classes: int) -> DeepLab:
    """Build a DeepLab from the `model` section of a recipe; `model.name` stands for the published network."""
    encoder = select_encoder(settings, (3, 4), output_stride=8, ceil_mode=True)
    return DeepLab(
        encoder,
        classes,
        settings.aspp,
        align_corners=settings.encoder is None,  # the published maps have their corners in the image's
        auxiliary=settings.auxiliary is not None,
    )
