"""VGG16 of torchvision, whose first two classifier layers are convolutions here."""

from udaseg import config
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

CLASSIFIER = {"classifier.0": "fc6", "classifier.3": "fc7"}
FC6_KERNEL = 7


def is_vgg(tensors: Tensors) -> bool:
    """Return whether tensors are those of VGG16, or of a larger VGG, by the names of torchvision."""
    return {"features.28.weight", "classifier.0.weight", "classifier.3.weight"} <= tensors.keys()


def rename_vgg(tensors: Tensors, settings: config.Model) -> Renamed:
    """Give the tensors of torchvision's VGG16 the names of udaseg's; its linear layers become convolutions.

    A VGG of timm keeps torchvision's names, which timm converts.
    """
    if settings.encoder_name != "vgg16":
        return Renamed(dict(tensors), {})
    encoder = {}
    for name, value in tensors.items():
        layer, _, part = name.rpartition(".")
        if layer in CLASSIFIER and part == "weight":
            # The 512 maps of 7x7 were flattened channel by channel.
            size = FC6_KERNEL if layer == "classifier.0" else 1
            value = value.reshape(len(value), -1, size, size)
        encoder[f"{CLASSIFIER.get(layer, layer)}.{part}"] = value
    return Renamed(encoder, {})


VGG = Layout("torchvision's VGG", is_vgg, rename_vgg, "rgb-imagenet")
