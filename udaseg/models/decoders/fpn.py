"""A light feature pyramid network: the network of the toy scale, fast without a GPU."""

from torch import Tensor, nn
from torch.nn import functional

from udaseg.config import Model
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.decoders.neck import build_neck
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network


class FPN(Network):
    """Compute class logits at stride 4 from all four levels (after the Panoptic FPN's semantic branch, figure 3).

    1x1 convolutions give all levels the same number of channels, `width`. From the coarsest
    level on, the sum is enlarged bilinearly and added to the next finer level. A 3x3 convolution smooths the result,
    which is the feature map. `auxiliary` adds a second classifier, a 1x1 convolution of layer 3, for training only.
    """

    align_corners = False

    def __init__(self, encoder: Encoder, classes: int, width: int, *, auxiliary: bool = False):
        super().__init__()
        self.backbone = encoder
        self.neck = build_neck(encoder)
        self.feature_channels = width
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.backbone.channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), BatchNorm(width), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Conv2d(width, classes, 1)
        self.auxiliary = nn.Conv2d(self.backbone.channels[2], classes, 1) if auxiliary else None
        self.inner_classifiers = int(auxiliary)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        aux = (self.auxiliary(maps[2]),) if self.auxiliary is not None and self.training else ()
        levels = [lateral(level) for lateral, level in zip(self.laterals, self.neck(maps), strict=True)]
        merged = levels.pop()
        while levels:
            finer = levels.pop()
            merged = finer + functional.interpolate(merged, size=finer.shape[-2:], mode="bilinear", align_corners=False)
        features_NDhw = self.smooth(merged)
        return Decoded(self.classifier(features_NDhw), features_NDhw, aux)


def build(settings: Model, classes: int) -> FPN:
    """Build an FPN from the `model` section of a recipe."""
    width = settings.width or (64 if settings.encoder_name == "resnet18" else 128)
    return FPN(select_encoder(settings, (1, 2, 3, 4)), classes, width, auxiliary=settings.auxiliary is not None)
