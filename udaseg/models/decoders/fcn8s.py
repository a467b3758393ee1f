"""FCN-8s: the scores of three levels, each enlarged and added to the next finer one."""

from torch import Tensor, nn
from torch.nn import functional

from udaseg.config import Model
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network


class FCN8s(Network):
    """Compute class logits at the stride of level 2 from levels 2, 3 and 4 (FCN, section 4.2 and figure 3).

    On VGG16 these are the third and the fourth max-pooling, and fc7. A 1x1 convolution scores each level. The scores
    are doubled in size by fixed bilinear interpolation, and added to those of the next finer level. All is trained at
    once. The scores of the finer levels start from zero, so training begins with the network of the deepest level.
    Features are the deepest map.

    The authors' network that is trained at once multiplies the finer maps by 0.0001 and 0.01. All maps of Caffe's
    VGG16 then have like norms. Here they are not multiplied: the norms of other weights and encoders differ.
    """

    align_corners = False
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, classes: int):
        super().__init__()
        self.backbone = encoder
        *finer, self.feature_channels = encoder.channels
        self.classifier = nn.Conv2d(self.feature_channels, classes, 1)
        self.skips = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in finer)
        for score in self.skips:
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        *finer, features_NDhw = maps
        logits_NChw = self.classifier(features_NDhw)
        for score, level_NDhw in zip(reversed(self.skips), reversed(finer), strict=True):
            logits_NChw = score(level_NDhw) + enlarge(logits_NChw, level_NDhw.shape[-2:])
        return Decoded(logits_NChw, features_NDhw)


def enlarge(coarse_NChw: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge a map bilinearly to the grid of a finer one, float [N, C, *size].

    A coarse cell covers a whole number of finer cells. Where the finer grid ends within one, the result is cut.
    """
    whole = [-(-side // old) * old for side, old in zip(size, coarse_NChw.shape[-2:], strict=True)]
    if whole != list(coarse_NChw.shape[-2:]):
        coarse_NChw = functional.interpolate(coarse_NChw, size=whole, mode="bilinear", align_corners=False)
    return coarse_NChw[..., : size[0], : size[1]]


def build(settings: Model, classes: int) -> FCN8s:
    """Build an FCN-8s from the `model` section of a recipe."""
    return FCN8s(select_encoder(settings, (2, 3, 4)), classes)
