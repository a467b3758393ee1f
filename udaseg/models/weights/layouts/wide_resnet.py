"""The wide ResNet-38 in the files of its authors and of CBST (MXNet), of AffinityNet, and of Mapillary and NVIDIA.

All of them count the stages from 2 to 7. The first convolution and the last normalisation are in no stage.
"""

import re
from collections.abc import Callable

from udaseg import config
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

# Of a layer in a block: its kind, stage, block, branch and part. The first block is `a`, or has no number.
MXNET_BLOCK = re.compile(r"(res|bn)(\d)(?:a|b(\d+))_branch(1|2a|2b\d)_(weight|gamma|beta|moving_mean|moving_var)")
AFFINITYNET_BLOCK = re.compile(r"b(\d)(?:_(\d+))?\.(conv|bn)_branch(1|2a|2b\d)\.(\w+)")
MAPILLARY_BLOCK = re.compile(r"mod(\d)\.block(\d+)\.(?:convs\.)?(proj_conv|conv\d|bn\d)\.(?:(?:bn|0)\.)?(\w+)")
NORM_PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
# Layers outside of the stages.
MXNET_LAYERS = {"conv1a_weight": "conv1.weight", **{f"bn7_{old}": f"norm.{new}" for old, new in NORM_PARTS.items()}}
AFFINITYNET_LAYERS = {"conv1a": "conv1", "bn7": "norm"}
MAPILLARY_LAYERS = {"mod1.conv1": "conv1", "bn_out": "norm", "bn_out.bn": "norm", "bn_out.0": "norm"}
MXNET_CLASSIFIER = re.compile(r"linear\d+_(\w+)")  # linear19 has 19 classes
ABN_EPSILON = 1e-5  # Mapillary's normalisation (InPlaceABN) multiplies by |weight| + epsilon
MAPILLARY_CAUTION = (
    "Mapillary's network has max-poolings and leaky ReLUs, this one strided convolutions and ReLUs: its features differ"
)


def is_mxnet(tensors: Tensors) -> bool:
    """Return whether tensors include a wide ResNet-38 by the names of its authors."""
    return "res2a_branch2a_weight" in tensors


def rename_mxnet(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Give the tensors of the authors, or of CBST, the names of udaseg's encoder resnet38 and decoder dilated."""
    encoder, others = _separate(tensors, _mxnet_name)
    heads = {}
    is_segmentation = any(value.ndim == 4 for name, value in others.items() if MXNET_CLASSIFIER.fullmatch(name))
    for name, value in others.items():
        if match := MXNET_CLASSIFIER.fullmatch(name):
            if is_segmentation:
                heads[f"classifier.{match[1]}"] = value
            else:
                encoder[f"fc.{match[1]}"] = value
        else:
            heads[re.sub(r"^conv6a_", "hidden.", name)] = value
    return Renamed(encoder, heads)


def is_affinitynet(tensors: Tensors) -> bool:
    """Return whether tensors include a wide ResNet-38 by the names of AffinityNet."""
    return "b2.conv_branch2a.weight" in tensors


def rename_affinitynet(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Give the tensors of AffinityNet the names of udaseg's encoder resnet38."""
    return Renamed(*_separate(tensors, _affinitynet_name))


def is_mapillary(tensors: Tensors) -> bool:
    """Return whether tensors include a wide ResNet-38 by the names of Mapillary and NVIDIA."""
    return "mod2.block1.convs.conv1.weight" in tensors


def rename_mapillary(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Give the tensors of Mapillary or NVIDIA the names of udaseg's encoder resnet38."""
    encoder, heads = _separate(tensors, _mapillary_name)
    if "bn_out.0.weight" not in tensors:  # NVIDIA's are batch norms of PyTorch
        for name in [name for name in encoder if re.search(r"norms?\.(\d\.)?weight", name)]:
            encoder[name] = encoder[name].abs() + ABN_EPSILON
    return Renamed(encoder, heads, MAPILLARY_CAUTION)


def _separate(tensors: Tensors, encoder_name: Callable[[str], str | None]) -> tuple[Tensors, Tensors]:
    """Return the encoder's tensors by their new names, and all others by their old ones."""
    names = {name: encoder_name(name) for name in tensors}
    encoder = {new: tensors[old] for old, new in names.items() if new is not None}
    return encoder, {old: tensors[old] for old, new in names.items() if new is None}


def _mxnet_name(name: str) -> str | None:
    if match := MXNET_BLOCK.fullmatch(name):
        kind, stage, block, branch, part = match.groups()
        return _block_name(stage, int(block or 0), _branch_layer(kind, branch), NORM_PARTS.get(part, part))
    return MXNET_LAYERS.get(name)


def _affinitynet_name(name: str) -> str | None:
    if match := AFFINITYNET_BLOCK.fullmatch(name):
        stage, block, kind, branch, part = match.groups()
        return _block_name(stage, int(block or 0), _branch_layer(kind, branch), part)
    return _layer_name(name, AFFINITYNET_LAYERS)


def _mapillary_name(name: str) -> str | None:
    if match := MAPILLARY_BLOCK.fullmatch(name):
        stage, block, layer, part = match.groups()
        if layer == "proj_conv":
            return _block_name(stage, int(block) - 1, "shortcut", part)
        return _block_name(stage, int(block) - 1, _indexed_layer(layer[:-1], int(layer[-1]) - 1), part)
    return _layer_name(name, MAPILLARY_LAYERS)


def _layer_name(name: str, layers: dict[str, str]) -> str | None:
    layer, _, part = name.rpartition(".")
    return f"{layers[layer]}.{part}" if layer in layers else None


def _branch_layer(kind: str, branch: str) -> str:
    if branch == "1":
        return "shortcut"
    return _indexed_layer(kind, 0 if branch == "2a" else int(branch.removeprefix("2b")))


def _indexed_layer(kind: str, index: int) -> str:
    return f"norms.{index}" if kind == "bn" else f"convs.{index}"


def _block_name(stage: str, block: int, layer: str, part: str) -> str:
    return f"stages.{int(stage) - 2}.{block}.{layer}.{part}"


MXNET = Layout("the wide ResNets of MXNet", is_mxnet, rename_mxnet, "rgb-imagenet")
AFFINITYNET = Layout("AffinityNet's wide ResNets", is_affinitynet, rename_affinitynet, "rgb-imagenet")
MAPILLARY = Layout("Mapillary's wide ResNets", is_mapillary, rename_mapillary, "rgb-imagenet")
