"""The segmentation networks: built from the `model` section of a recipe; each returns an `Output`."""

from collections.abc import Callable, Sequence
from importlib import import_module

from udaseg import config
from udaseg.config.networks import decoder_module
from udaseg.models import weights
from udaseg.models.depthwise import train_depthwise_in_float32
from udaseg.models.encoders import resolve_color
from udaseg.models.multi_resolution import add_detail
from udaseg.models.network import Network, pad_narrow_maps, set_bn_mode
from udaseg.models.output import Output

__all__ = ["Network", "Output", "build", "construct", "resolve_color", "set_bn_mode"]


def construct(settings: config.Model, classes: int) -> Network:
    """Build a network for a number of classes, with random weights, in training mode.

    The weights are drawn from PyTorch's global random generator.
    """
    network = import_module(f"udaseg.models.decoders.{decoder_module(settings.architecture)}").build(settings, classes)
    network.heads.add(settings.heads, network.feature_channels)
    if settings.detail is not None:
        add_detail(network, classes, settings.detail)
    set_bn_mode(network, settings.bn)
    pad_narrow_maps(network)
    train_depthwise_in_float32(network)
    return network


def build(settings: config.Model, classes: Sequence[str], note: Callable[[str], None] | None = None) -> Network:
    """Build a network for these classes and load the weights that the settings name; in training mode, on the CPU.

    `note` is called with one line where a weights file and the network do not hold the same tensors; not for ImageNet
    weights, whose classes always differ. Raises UdasegError where the weights are missing or do not fit.
    """
    network = construct(settings, len(classes))
    result = weights.load(network, settings, classes)
    if note is not None and result is not None and not (result.is_complete or settings.weights == "imagenet"):
        note(f"model.weights: {result.describe()}")
    return network
