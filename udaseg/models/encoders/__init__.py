"""The encoders that networks are built on, one file each family."""

from importlib import import_module
from typing import Any

from udaseg import config
from udaseg.config.networks import ANY_ENCODER, ENCODERS
from udaseg.errors import UdasegError
from udaseg.models.encoders.encoder import Encoder, require_batch_norm

__all__ = [
    "Encoder", "build_encoder", "imagenet_url", "require_batch_norm", "resolve_color", "select_encoder",
    "weights_license",
]  # fmt: skip


def build_encoder(name: str, **options: Any) -> Encoder:
    """Build the encoder with this name of the table ENCODERS, or any other of timm, with random weights.

    Options, all optional: `output_stride`, `taps` (levels 1 to 4 whose maps are returned), `ceil_mode` (rounds the
    size after the max-pooling up), `drop_path` (of timm's encoders).
    """
    return _module(name).build(name, **options)


def select_encoder(settings: config.Model, taps: tuple[int, ...], **of_name: Any) -> Encoder:
    """Build the encoder of a recipe for a decoder that reads the levels `taps`.

    `of_name` holds the options of the network that `model.name` names. With `model.encoder` the recipe has them.
    """
    if settings.encoder is None:
        return build_encoder(settings.backbone, taps=taps, **of_name)
    drop_path = {"drop_path": settings.drop_path} if settings.drop_path else {}
    if drop_path and settings.encoder in ENCODERS:
        raise UdasegError(f"{settings.encoder} has no drop path", "leave out model.drop_path")
    return build_encoder(settings.encoder, taps=taps, output_stride=settings.stride, **drop_path)


def resolve_color(settings: config.Model) -> config.Model:
    """Return the settings with the colour convention of the encoder in the place of `auto`."""
    if settings.color != "auto":
        return settings
    color = "rgb-imagenet"
    if settings.encoder_name not in ENCODERS:
        color = import_module("udaseg.models.encoders.names").trained_colors(settings.encoder_name)
    return settings.model_copy(update={"color": color})


def weights_license(name: str) -> str | None:
    """Return the licence of the ImageNet weights of an encoder, None where it is unknown."""
    if name in ENCODERS:
        return "BSD-3-Clause" if _module(name).IMAGENET else None
    return import_module("udaseg.models.encoders.names").weights_license(name)


def imagenet_url(name: str) -> str:
    """Return the address of an encoder's ImageNet weights; raise UdasegError where there are none."""
    urls = _module(name).IMAGENET
    if name not in urls:
        raise UdasegError(
            f"there are no ImageNet weights of {name} to download",
            "give the path of a weights file with model.weights, or set model.weights=none",
        )
    return urls[name]


def _module(name: str) -> Any:
    return import_module(f"udaseg.models.encoders.{ENCODERS.get(name, ANY_ENCODER)}")
