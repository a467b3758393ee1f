"""A linear classifier on the last map of an encoder."""

from torch import Tensor, nn

from udaseg.config import Model
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network


class Linear(Network):
    """Compute class logits at the encoder's stride with batch norm and one 1x1 convolution (DINOv2, section 7.4).

    Features are the normalised map.
    """

    align_corners = False
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, classes: int):
        super().__init__()
        self.backbone = encoder
        (self.feature_channels,) = encoder.channels
        self.norm = BatchNorm(self.feature_channels)
        self.classifier = nn.Conv2d(self.feature_channels, classes, 1)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        features_NDhw = self.norm(maps[-1])
        return Decoded(self.classifier(features_NDhw), features_NDhw)


def build(settings: Model, classes: int) -> Linear:
    """Build a linear classifier from the `model` section of a recipe."""
    return Linear(select_encoder(settings, (4,)), classes)
