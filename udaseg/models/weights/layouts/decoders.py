"""The decoders of published checkpoints under the names of udaseg's: SegFormer, DAFormer, HRDA."""

import re

from udaseg import config
from udaseg.models.weights.layouts.layout import Tensors

# Pattern of a published name -> name in udaseg. The last part is that of a convolution or a normalisation.
DECODERS = (
    # SegFormer of Hugging Face, and of NVlabs, which counts the levels from 1
    (r"linear_c\.(\d)\.proj\.(\w+)", r"laterals.\1.\2"),
    (r"linear_c([1-4])\.proj\.(\w+)", r"laterals.{level}.\2"),
    (r"linear_fuse\.weight", r"fuse.0.weight"),
    (r"batch_norm\.(\w+)", r"fuse.1.\1"),
    (r"linear_fuse\.conv\.(\w+)", r"fuse.0.\1"),
    (r"linear_fuse\.bn\.(\w+)", r"fuse.1.\1"),
    (r"(?:classifier|linear_pred)\.(\w+)", r"classifier.\1"),
    # DAFormer, and the head of HRDA and MIC for one scale
    (r"embed_layers\.(\d)\.proj\.(\w+)", r"laterals.\1.\2"),
    (r"fuse_layer\.aspp_modules\.0\.conv\.(\w+)", r"branches.0.0.\1"),
    (r"fuse_layer\.aspp_modules\.0\.bn\.(\w+)", r"branches.0.1.\1"),
    (r"fuse_layer\.aspp_modules\.([1-3])\.depthwise_conv\.conv\.(\w+)", r"branches.\1.0.\2"),
    (r"fuse_layer\.aspp_modules\.([1-3])\.depthwise_conv\.bn\.(\w+)", r"branches.\1.1.\2"),
    (r"fuse_layer\.aspp_modules\.([1-3])\.pointwise_conv\.conv\.(\w+)", r"branches.\1.3.\2"),
    (r"fuse_layer\.aspp_modules\.([1-3])\.pointwise_conv\.bn\.(\w+)", r"branches.\1.4.\2"),
    (r"fuse_layer\.bottleneck\.conv\.(\w+)", r"bottleneck.0.\1"),
    (r"fuse_layer\.bottleneck\.bn\.(\w+)", r"bottleneck.1.\1"),
)
# HRDA's attention between two scales, below SCALE_ATTENTION
ATTENTION = (
    (r"embed_layers\.(\d)\.proj\.(\w+)", r"laterals.\1.\2"),
    (r"fuse_layer\.conv\.(\w+)", r"fuse.0.\1"),
    (r"fuse_layer\.bn\.(\w+)", r"fuse.1.\1"),
    (r"conv_seg\.(\w+)", r"classifier.\1"),
)
SCALE_ATTENTION = "decode_head.scale_attention."
CLASSIFIER = r"conv_seg\.(\w+)"  # of DAFormer; SegFormer of mmseg has one that it does not use


def rename_decoder(tensors: Tensors, settings: config.Model) -> tuple[Tensors, str | None]:
    """Give the tensors of a published decoder the names of udaseg's decoders segformer and daformer.

    Linear layers become 1x1 convolutions. Returns a caution where HRDA's attention between two scales is left out,
    as the network has one scale.
    """
    heads = {}
    patterns = DECODERS
    if not any(".linear_pred." in name for name in tensors):
        patterns = (*DECODERS, (CLASSIFIER, r"classifier.\1"))
    attention = {name for name in tensors if name.startswith(SCALE_ATTENTION)}
    for name, value in tensors.items():
        if name in attention and settings.detail is not None:
            local = _rename(name.removeprefix(SCALE_ATTENTION), ATTENTION)
            renamed = None if local is None else f"resolutions.attention.{local}"
        else:
            local = name.removeprefix("decode_head.").removeprefix("head.")
            renamed = None if local == name else _rename(local, patterns)
        is_linear = renamed is not None and "laterals." in renamed and value.ndim == 2
        heads[renamed or name] = value[..., None, None] if is_linear else value
    if attention and settings.detail is None:
        return heads, "HRDA's attention between two scales is left out: this is its network for one scale"
    return heads, None


def _rename(name: str, patterns: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, result in patterns:
        if match := re.fullmatch(pattern, name):
            level = str(int(match[1]) - 1) if "{level}" in result else ""
            return match.expand(result.replace("{level}", level))
    return None
