"""Every convolutional or transformer encoder of timm, by its name.

An encoder is the whole model of timm without its head. Its parameters keep timm's names.
"""

from contextlib import suppress
from functools import cache
from inspect import signature
from typing import Any

import timm
import torch
from torch import Tensor, nn

from udaseg.errors import UdasegError
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders.encoder import Encoder, no_normalised_stem
from udaseg.models.encoders.names import timm_name
from udaseg.models.encoders.norms import adopt_batch_norms

IMAGENET: dict[str, str] = {}  # timm's weights are files of its hub, not addresses
LEVELS = 4
ANY_SIZE = {"dynamic_img_size": True, "strict_img_size": False}  # arguments that allow images of any size


class TimmEncoder(Encoder):
    """Compute the feature maps of the levels in `taps` with a model of timm, the finest map first.

    This class is put before that of the model (`build`). Levels 1 to 4 of a pyramid have strides 4, 8, 16 and 32;
    level 0, where there is one, has stride 2. The levels of a plain transformer are the outputs after a quarter, a
    half, three quarters and all of its blocks, normalised, all at the stride of its patches.
    """

    taps: tuple[int, ...]
    level_indices: list[int]  # of the maps in `taps` among all that timm offers

    def forward(self, image_N3HW: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            self.forward_intermediates(
                image_N3HW, indices=self.level_indices, norm=self.is_plain, output_fmt="NCHW", intermediates_only=True
            )
        )

    def checkpoint_activations(self) -> None:
        with suppress(AssertionError, AttributeError):  # what timm raises where a model cannot do that
            self.set_grad_checkpointing(True)
            return
        super().checkpoint_activations()

    def first_layers(self) -> tuple[nn.Conv2d, BatchNorm]:
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.LayerNorm | BatchNorm)]
        match layers:
            case [nn.Conv2d() as conv, BatchNorm() as norm, *_]:
                return conv, norm
        raise no_normalised_stem()


def build(
    name: str, *, taps: tuple[int, ...] = (4,), output_stride: int = 32, ceil_mode: bool = False, drop_path: float = 0.0
) -> TimmEncoder:
    """Build an encoder of timm with random weights; `ceil_mode` concerns no network of timm.

    Raises UdasegError for an unknown name, and for an encoder that has no such stride, reads images of one size only,
    or has statistics that udaseg cannot adapt.
    """
    known, arguments = timm_name(name)
    outline = _outline(name)
    encoder = timm.create_model(
        known, num_classes=0, **arguments, **_arguments(outline, name, output_stride, drop_path)
    )
    levels = _levels(outline, name)
    if missing := [level for level in taps if level not in levels]:
        raise UdasegError(f"{name} has no map of level {missing[0]}", "choose another decoder, or another encoder")
    encoder.__class__ = type(f"{type(encoder).__name__}Encoder", (TimmEncoder, type(encoder)), {})
    encoder.taps = taps
    encoder.is_plain = _is_plain(outline)
    encoder.channels = tuple(outline.feature_info[levels[level]]["num_chs"] for level in taps)
    encoder.level_indices = encoder.prune_intermediate_layers(
        [levels[level] for level in taps], prune_norm=not encoder.is_plain, prune_head=True
    )
    adopt_batch_norms(encoder, name)
    encoder.multiple = _multiple(name)
    return encoder


def timm_arguments(name: str, output_stride: int) -> tuple[str, dict[str, Any]]:
    """Return the name that timm has for an encoder of udaseg, and the arguments with which timm builds it."""
    known, arguments = timm_name(name)
    return known, arguments | _arguments(_outline(name), name, output_stride, 0.0)


@cache
def _outline(name: str) -> nn.Module:
    """Return an encoder of timm without memory, for the facts that it has.

    It is kept, as are those of `_multiple`: a stage builds its network several times, and this takes as long.
    """
    known, arguments = timm_name(name)
    with torch.device("meta"):
        outline = timm.create_model(known, num_classes=0, **arguments)
    if not hasattr(outline, "forward_intermediates"):
        raise UdasegError(f"{name} of timm does not return its inner maps", "choose another encoder")
    return outline


def _arguments(outline: nn.Module, name: str, output_stride: int, drop_path: float) -> dict[str, Any]:
    """Return the arguments of timm that give an encoder its stride, any size of image, and its drop path."""
    known = signature(type(outline).__init__).parameters
    arguments: dict[str, Any] = {key: value for key, value in ANY_SIZE.items() if key in known}
    if not arguments and outline.pretrained_cfg.get("fixed_input_size"):
        size = "x".join(map(str, outline.pretrained_cfg["input_size"][1:]))
        raise UdasegError(f"{name} reads images of {size} only", "choose an encoder that reads images of any size")
    if output_stride != 32:
        if "output_stride" not in known or _is_plain(outline):
            raise UdasegError(
                f"{name} has no stride {output_stride}",
                "leave out model.stride; ResNet, RegNet, ConvNeXt and EfficientNet have the strides 8, 16 and 32",
            )
        arguments["output_stride"] = output_stride
    if drop_path:
        if "drop_path_rate" not in known:
            raise UdasegError(f"{name} has no drop path", "leave out model.drop_path")
        arguments["drop_path_rate"] = drop_path
    return arguments


def _is_plain(outline: nn.Module) -> bool:
    return len({info["reduction"] for info in outline.feature_info}) == 1


def _levels(outline: nn.Module, name: str) -> dict[int, int]:
    """Return the index of each level among the maps that timm offers."""
    count = len(outline.feature_info)
    if count < LEVELS:
        raise UdasegError(f"{name} has {count} maps, and an encoder needs {LEVELS}", "choose another encoder")
    if _is_plain(outline):
        return {level: count * level // LEVELS - 1 for level in range(1, LEVELS + 1)}
    levels = dict(enumerate(range(count - LEVELS, count), 1))
    return {0: count - LEVELS - 1, **levels} if count > LEVELS else levels


@cache
def _multiple(name: str) -> int:
    """Return the number of which the height and the width of an image must be multiples.

    A transformer needs whole patches. A pyramid whose strided convolutions do not pad would lose the last columns.
    """
    outline = _outline(name)
    known = signature(type(outline).__init__).parameters
    if any(key in known for key in ANY_SIZE):
        return max(outline.patch_embed.patch_size)
    deepest = max(info["reduction"] for info in outline.feature_info)
    maps = outline.forward_intermediates(torch.empty(1, 3, *2 * [2 * deepest + 1], device="meta"))[1]
    strides = [info["reduction"] for info in outline.feature_info]
    loses = any(level.shape[-1] * stride <= 2 * deepest for level, stride in zip(maps, strides, strict=False))
    return deepest if loses else 1
