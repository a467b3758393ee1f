"""Two dilated 3x3 convolutions on the last map of an encoder: the network of CBST on the wide ResNet-38."""

from torch import Tensor, nn

from udaseg.config import Model
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.encoders.encoder import draw_convolutions
from udaseg.models.network import Decoded, Network

WIDTH = 512
DILATION = 12


class Dilated(Network):
    """Compute class logits at the encoder's stride, in the paper 8, with two 3x3 convolutions of dilation 12.

    Both have biases, and a ReLU is between them (Wider or Deeper, model A1 with two convolutions). Features are the
    map between them, of `width` channels.
    """

    align_corners = False  # the authors label the centre of each cell of 8x8 pixels
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, classes: int, width: int):
        super().__init__()
        self.backbone = encoder
        (channels,) = encoder.channels
        self.feature_channels = width
        self.hidden = nn.Conv2d(channels, width, 3, padding=DILATION, dilation=DILATION)
        self.classifier = nn.Conv2d(width, classes, 3, padding=DILATION, dilation=DILATION)
        for convolution in (self.hidden, self.classifier):
            draw_convolutions(convolution)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        features_NDhw = self.hidden(maps[-1]).relu()
        return Decoded(self.classifier(features_NDhw), features_NDhw)


def build(settings: Model, classes: int) -> Dilated:
    """Build it from the `model` section of a recipe; `model.name` stands for the published stride of 8."""
    encoder = select_encoder(settings, (4,), output_stride=8)
    return Dilated(encoder, classes, settings.width or WIDTH)
