"""The record of a layout: how a family of published files names its tensors."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from udaseg import config

Tensors = dict[str, Tensor]


class Renamed(NamedTuple):
    """The tensors of a file under new names: the encoder's own names, and the names that the network has."""

    encoder: Tensors  # under the names of torchvision or timm, without a prefix
    heads: Tensors  # all others, under the names of udaseg's networks where there is such a layer
    caution: str | None = None  # to the user


class Layout(NamedTuple):
    """A family of published files.

    `matches` tells by fingerprints whether tensors have this layout; `rename` gives the tensors their new names.
    Both expect names without the prefixes of wrappers.
    """

    title: str  # in messages
    matches: Callable[[Tensors], bool]
    rename: Callable[[Tensors, config.Model], Renamed]
    color: str | None = None  # the colour convention of the published networks; None: it differs, or is not known
    stride_first: bool = False  # the stride of a bottleneck is in its first convolution, see Network.move_strides
    is_imagenet: bool = False  # an encoder as it was trained on ImageNet, which is converted to other colours
