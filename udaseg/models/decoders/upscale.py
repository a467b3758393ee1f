"""A light decoder for plain vision transformers: two learned enlargements of the last map."""

from timm.layers import LayerNorm2d
from torch import Tensor, nn

from udaseg.config import Model
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network


class Upscale(Network):
    """Compute class logits at a fourth of the encoder's stride, from its last map (VFM-UDA, its light head).

    Two transposed convolutions double the map and halve its channels; a 3x3 convolution follows. The layers have the
    order and the names of the published ones.
    """

    align_corners = False
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, classes: int):
        super().__init__()
        self.backbone = encoder
        (channels,) = encoder.channels
        half, self.feature_channels = channels // 2, channels // 4
        self.upscale = nn.Sequential(
            nn.ConvTranspose2d(channels, half, 2, stride=2, bias=False),
            LayerNorm2d(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, self.feature_channels, 2, stride=2, bias=False),
            LayerNorm2d(self.feature_channels),
            nn.Conv2d(self.feature_channels, self.feature_channels, 3, padding=1, bias=False),
            LayerNorm2d(self.feature_channels),
        )
        self.classifier = nn.Conv2d(self.feature_channels, classes, 1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.1)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        features_NDhw = self.upscale(maps[-1])
        return Decoded(self.classifier(features_NDhw), features_NDhw)


def build(settings: Model, classes: int) -> Upscale:
    """Build an upscaling network from the `model` section of a recipe."""
    return Upscale(select_encoder(settings, (4,)), classes)
