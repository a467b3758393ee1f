"""A pyramid from the maps of a plain vision transformer, which all have one stride."""

from torch import Tensor, nn

from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders import Encoder


class Neck(nn.Module):
    """Turn four maps of one stride into maps of a fourth, a half, once and twice that stride.

    With patches of 16 the strides are 4, 8, 16 and 32. Transposed convolutions enlarge the first two maps, a
    max-pooling halves the last one (BEiT, its network for segmentation; ViTDet, figure 2). The channels stay the same.
    """

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        first, second, _, _ = channels
        self.finest = nn.Sequential(_double(first), BatchNorm(first), nn.GELU(), _double(first))
        self.finer = _double(second)
        self.coarser = nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        first, second, third, fourth = maps
        return self.finest(first), self.finer(second), third, self.coarser(fourth)


def build_neck(encoder: Encoder) -> nn.Module:
    """Build what turns the four maps of an encoder into a pyramid: a `Neck`, or nothing for an encoder that has one."""
    return Neck(encoder.channels) if encoder.is_plain else nn.Identity()


def _double(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2)
