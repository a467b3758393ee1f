"""The networks of runs, and those that published tables print."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# A network as a table prints it -> encoder and decoder here; None where the table does not print it. No recipe has
# the networks that are missing: Dilation-Frontend, Dilated ResNet-26, DenseNet.
PRINTED: dict[str, tuple[str | None, str | None]] = {
    "BiSeNet on ResNet-18": ("resnet18", "bisenet"),
    "DeepLab-v2": (None, "deeplab"),
    "DeepLab-v2 on ResNet-101": ("resnet101", "deeplab"),
    "DINOv2 ViT-B/14": ("vit_base_patch14_dinov2", "upscale"),
    "DINOv2 ViT-L/14": ("vit_large_patch14_dinov2", "upscale"),
    "FCN8s-VGG16": ("vgg16", "fcn8s"),
    "MiT-B5 with the decoder of DAFormer": ("mit_b5", "daformer"),
    "MiT-B5 with the decoder of SegFormer": ("mit_b5", "segformer"),
    "ResNet-38": ("resnet38", "dilated"),
    "ResNet-50": ("resnet50", None),
    "ResNet-101": ("resnet101", None),
    "ResNet-101 with ASPP": ("resnet101", "deeplab"),
}


class Network(NamedTuple):
    """The encoder and the decoder of a run's network."""

    encoder: str
    decoder: str

    def __str__(self) -> str:
        return f"{self.decoder} on {self.encoder}"


def read_network(settings: Mapping[str, Any]) -> Network | None:
    """Return the network that the settings of a training name, None where they name none."""
    model = settings.get("model", {})
    if model.get("encoder") is not None:
        return Network(model["encoder"], model.get("decoder", "fpn"))
    if "name" in model and "backbone" in model:
        return Network(model["backbone"], model["name"])
    return None


def is_printed(network: Network, printed: str) -> bool:
    """Tell whether a network is the one that a table prints, as far as the table prints it.

    The tag of an encoder's weights does not count: resnet101.tv_in1k of timm is a ResNet-101.
    """
    if printed not in PRINTED:
        return False
    own = network.encoder.partition(".")[0], network.decoder
    return all(expected in (None, part) for part, expected in zip(own, PRINTED[printed], strict=True))
