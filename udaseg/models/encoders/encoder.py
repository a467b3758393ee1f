"""The base class of all encoders."""

from torch import nn

from udaseg.models.batchnorm import BatchNorm


class Encoder(nn.Module):
    """Compute feature maps of an image: float [N, 3, H, W] to a tuple of float [N, D, h, w], the finest map first.

    `channels` holds the D of each returned map. `conv1` and `bn1` are the first convolution and its normalisation:
    colour conventions and the setting `adabn: stem` change these two. Every normalisation layer must be a BatchNorm
    of udaseg.models.batchnorm.
    """

    channels: tuple[int, ...]
    conv1: nn.Conv2d
    bn1: BatchNorm
