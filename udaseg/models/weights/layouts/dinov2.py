"""DINOv2 of Meta, alone and inside the checkpoints of VFM-UDA, under the names of timm."""

import re

from udaseg import config
from udaseg.errors import UdasegError
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

ENCODER = ("patch_embed.", "blocks.", "norm.", "cls_token", "pos_embed", "register_tokens", "mask_token")
ADAPTER = ("interactions.", "spm.", "level_embed", "adapter.")  # layers that VFM-UDA++ adds to the encoder
# The layers of the largest model, whose MLP is gated.
GATED = {"mlp.w12.": "mlp.fc1.", "mlp.w3.": "mlp.fc2."}


def is_dinov2(tensors: Tensors) -> bool:
    """Return whether tensors include DINOv2 by the names of Meta."""
    has_tokens = "mask_token" in tensors or "register_tokens" in tensors
    return has_tokens and any(name.endswith("ls1.gamma") for name in tensors)


def rename_dinov2(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Give the tensors of DINOv2 the names of timm's `vit_*_patch14[_reg4]_dinov2`, and those of VFM-UDA udaseg's.

    With registers, timm has no position of the class token; it is added to the token itself. The mask token is left
    out. Raises UdasegError for the encoder of VFM-UDA++, which has an adapter.
    """
    if any(name.startswith(ADAPTER) for name in tensors):
        raise UdasegError(
            "the encoder of this file has an adapter (VFM-UDA++), which no network of udaseg has",
            "give a file of VFM-UDA or of DINOv2",
        )
    encoder, heads = {}, {}
    for name, value in tensors.items():
        if name.startswith(ENCODER):
            encoder[_rename(name)] = value
        else:  # VFM-UDA calls its classifier out
            heads[re.sub(r"^out\.", "classifier.", name)] = value
    encoder.pop("mask_token", None)
    if (registers := encoder.pop("register_tokens", None)) is not None:
        encoder["reg_token"] = registers
        if {"pos_embed", "cls_token"} <= encoder.keys():
            encoder["cls_token"] = encoder["cls_token"] + encoder["pos_embed"][:, :1]
            encoder["pos_embed"] = encoder["pos_embed"][:, 1:]
    return Renamed(encoder, heads)


def _rename(name: str) -> str:
    name = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)  # training programs keep the blocks in chunks
    for gated, plain in GATED.items():
        name = name.replace(gated, plain)
    return name


DINOV2 = Layout("DINOv2 of Meta", is_dinov2, rename_dinov2, "rgb-imagenet")
