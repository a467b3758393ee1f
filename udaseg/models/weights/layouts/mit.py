"""MiT, the encoder of SegFormer: the files of NVlabs, mmseg, smp and Hugging Face under the names of timm's PVTv2."""

import torch

from udaseg import config
from udaseg.models.weights.layouts.decoders import rename_decoder
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

PATCHES = {"proj": "proj", "layer_norm": "norm"}
# layer in a block of Hugging Face -> in timm; key and value are joined afterwards
BLOCK = {
    "layer_norm_1": "norm1",
    "layer_norm_2": "norm2",
    "attention.self.query": "attn.q",
    "attention.self.key": "attn.k",
    "attention.self.value": "attn.v",
    "attention.self.sr": "attn.sr",
    "attention.self.layer_norm": "attn.norm",
    "attention.output.dense": "attn.proj",
    "mlp.dense1": "mlp.fc1",
    "mlp.dense2": "mlp.fc2",
    "mlp.dwconv.dwconv": "mlp.dwconv",
}


def is_mit(tensors: Tensors) -> bool:
    """Return whether tensors include MiT by the names of NVlabs, mmseg and smp."""
    return "block1.0.attn.kv.weight" in tensors


def rename_mit(tensors: Tensors, settings: config.Model) -> Renamed:
    """Give the tensors of MiT, of NVlabs, mmseg or smp, the names of timm's PVTv2, and its decoder those of udaseg."""
    encoder, others = {}, {}
    for name, value in tensors.items():
        first, _, rest = name.partition(".")
        layer, number = first[:-1], first[-1:]
        if layer == "patch_embed" and number.isdigit():
            encoder[f"{_patches(int(number) - 1)}.{rest}"] = value
        elif layer == "norm" and number.isdigit():
            encoder[f"stages.{int(number) - 1}.norm.{rest}"] = value
        elif layer == "block" and number.isdigit():
            encoder[f"stages.{int(number) - 1}.blocks.{rest.replace('dwconv.dwconv', 'dwconv')}"] = value
        elif first == "head":  # of ImageNet's classes
            encoder[name] = value
        else:
            others[name] = value
    heads, caution = rename_decoder(others, settings)
    return Renamed(encoder, heads, caution)


def is_hugging_face(tensors: Tensors) -> bool:
    """Return whether tensors include MiT by the names of the files of Hugging Face."""
    return "block.0.0.attention.self.query.weight" in tensors


def rename_hugging_face(tensors: Tensors, settings: config.Model) -> Renamed:
    """Give the tensors of a SegFormer of Hugging Face the names of timm's PVTv2, and its decoder those of udaseg."""
    encoder, others = {}, {}
    for name, value in tensors.items():
        match name.split("."):
            case ["patch_embeddings", stage, layer, part] if layer in PATCHES:
                encoder[f"{_patches(int(stage))}.{PATCHES[layer]}.{part}"] = value
            case ["layer_norm", stage, part]:
                encoder[f"stages.{stage}.norm.{part}"] = value
            case ["block", stage, block, *layer, part] if ".".join(layer) in BLOCK:
                encoder[f"stages.{stage}.blocks.{block}.{BLOCK['.'.join(layer)]}.{part}"] = value
            case _:
                others[name] = value
    for name in [name for name in encoder if ".attn.k." in name]:
        value_name = name.replace(".attn.k.", ".attn.v.")
        if value_name in encoder:  # timm has one layer for both, the key above the value
            encoder[name.replace(".attn.k.", ".attn.kv.")] = torch.cat([encoder.pop(name), encoder.pop(value_name)])
    heads, caution = rename_decoder(others, settings)
    return Renamed(encoder, heads, caution)


def _patches(stage: int) -> str:
    """Return timm's name of the layer that makes the patches of a stage, counted from 0."""
    return f"stages.{stage}.downsample" if stage else "patch_embed"


MIT = Layout("MiT encoders", is_mit, rename_mit, "rgb-imagenet")
HUGGING_FACE = Layout("SegFormers of Hugging Face", is_hugging_face, rename_hugging_face, "rgb-imagenet")
