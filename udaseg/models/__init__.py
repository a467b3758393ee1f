"""The segmentation networks: built from a recipe's `model` section, used through `Output`."""

from collections.abc import Callable, Sequence

from udaseg import config
from udaseg.models import weights
from udaseg.models.bisenet import BiSeNet
from udaseg.models.deeplab import DeepLab
from udaseg.models.fpn import FPN
from udaseg.models.network import Network, set_bn_mode, widen
from udaseg.models.output import Output

__all__ = ["NETWORKS", "Network", "Output", "build", "construct", "set_bn_mode"]

NETWORKS: dict[str, Callable[[config.Model, int], Network]] = {
    "deeplab": lambda settings, classes: DeepLab(
        settings.backbone, classes, settings.aspp, auxiliary=settings.auxiliary is not None
    ),
    "bisenet": lambda settings, classes: BiSeNet(settings.backbone, classes),
    "fpn": lambda settings, classes: FPN(settings.backbone, classes, auxiliary=settings.auxiliary is not None),
}


def construct(settings: config.Model, classes: int) -> Network:
    """Make the network with random weights, drawn from PyTorch's global generator, in training mode."""
    network = NETWORKS[settings.name](settings, classes)
    network.heads.add(settings.heads, network.feature_channels)
    set_bn_mode(network, settings.bn)
    widen(network)
    return network


def build(settings: config.Model, classes: Sequence[str], note: Callable[[str], None] | None = None) -> Network:
    """Make the network for some classes and give it the weights the settings name, in training mode on the CPU.

    `note` is told, in one line, what a weights file left unset or held in excess; that ImageNet has other classes goes
    without saying. Raises UdasegError where the weights cannot be had or do not fit.
    """
    network = construct(settings, len(classes))
    loaded = weights.load(network, settings, classes)
    if note is not None and loaded is not None and not (loaded.plain or settings.weights == "imagenet"):
        note(f"model.weights: {loaded.describe()}")
    return network
