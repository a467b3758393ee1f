"""The encoders that networks are built on, one file each family."""

from importlib import import_module
from typing import Any

from udaseg.config.networks import ENCODERS
from udaseg.errors import UdasegError
from udaseg.models.encoders.encoder import Encoder

__all__ = ["Encoder", "build_encoder", "imagenet_url"]


def build_encoder(name: str, **options: Any) -> Encoder:
    """Build the encoder with this name of the table ENCODERS, with random weights.

    Options, all optional: `output_stride` 8 or 32, `taps` (levels 1 to 4 whose maps are returned), `ceil_mode`
    (rounds the size after the max-pooling up).
    """
    return _module(name).build(name, **options)


def imagenet_url(name: str) -> str:
    """Return the address of an encoder's ImageNet weights; raise UdasegError where there are none."""
    urls = _module(name).IMAGENET
    if name not in urls:
        raise UdasegError(
            f"the encoder {name} has no ImageNet weights", "set model.weights=none, or give the path of a weights file"
        )
    return urls[name]


def _module(name: str) -> Any:
    return import_module(f"udaseg.models.encoders.{ENCODERS[name]}")
