"""The base class of all encoders."""

from torch import nn

from udaseg.errors import UdasegError
from udaseg.models.batchnorm import BatchNorm


class Encoder(nn.Module):
    """Compute feature maps of an image: float [N, 3, H, W] to a tuple of float [N, D, h, w], the finest map first.

    `channels` holds the D of each returned map. `conv1` and `bn1` are the first convolution and its normalisation,
    unless `first_layers` returns others: colour conventions and the setting `adabn: stem` change these two. Every
    normalisation layer with running statistics must be a BatchNorm of udaseg.models.batchnorm.
    """

    channels: tuple[int, ...]
    multiple: int = 1  # height and width of an image must be multiples of it; a network pads other images
    is_plain: bool = False  # all maps have the same stride, as those of a plain vision transformer
    conv1: nn.Conv2d
    bn1: BatchNorm

    def checkpoint_activations(self) -> None:
        """Keep only the input of each block in training, and compute its other maps again in the backward pass.

        Raises UdasegError where an encoder cannot do that.
        """
        kind = type(self).__name__.removesuffix("Encoder")
        raise UdasegError(
            f"this encoder, a {kind}, cannot compute its activations twice",
            "leave out activation_checkpointing; accumulate saves memory with every encoder",
        )

    def first_layers(self) -> tuple[nn.Conv2d, BatchNorm]:
        """Return the first convolution and its batch norm; raise UdasegError where there is no such pair."""
        return self.conv1, self.bn1


def no_normalised_stem() -> UdasegError:
    """Return the error for an encoder whose first layers are not a convolution and its batch norm."""
    return UdasegError(
        "the first layers of this encoder are not a convolution and its batch norm, which this setting changes",
        "choose another encoder, or leave out adabn=stem",
    )


def require_batch_norm(encoder: nn.Module, setting: str, off: str = "false") -> None:
    """Raise UdasegError where an encoder has no batch norm, which a setting changes; `off` is its value without."""
    if not any(isinstance(module, BatchNorm) for module in encoder.modules()):
        raise UdasegError(
            f"{setting} changes batch norm, and the encoder of this network has none",
            f"set {setting.partition('=')[0]}={off}, or choose an encoder with batch norm",
        )


def draw_convolutions(network: nn.Module) -> None:
    """Draw the weights of all convolutions so that maps keep their scale through ReLUs (He et al., 2015)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
