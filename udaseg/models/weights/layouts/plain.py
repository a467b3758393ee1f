"""Files whose encoder has the same names here: torchvision, timm, smp, and encoders of one's own."""

from udaseg import config
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

IMAGENET_CLASSES = 1000
RESNET_LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
DECODERS = ("decoder.", "segmentation_head.", "decode_head.", "auxiliary_head.")  # of smp and mmseg


def is_resnet(tensors: Tensors) -> bool:
    """Return whether tensors include those of a ResNet by the names of torchvision."""
    return {"conv1.weight", "layer4.0.conv1.weight"} <= tensors.keys()


def is_imagenet_resnet(tensors: Tensors) -> bool:
    """Return whether tensors are a ResNet by the names of torchvision with a classifier of ImageNet's classes."""
    return is_resnet(tensors) and "fc.weight" in tensors and len(tensors["fc.weight"]) == IMAGENET_CLASSES


def keep_names(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Take all tensors for the encoder's, but for those of decoders."""
    heads = {name: value for name, value in tensors.items() if name.startswith(DECODERS)}
    return Renamed({name: tensors[name] for name in tensors if name not in heads}, heads)


def rename_resnet(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Separate the layers of a ResNet from all others."""
    encoder = {name: value for name, value in tensors.items() if name.partition(".")[0] in (*RESNET_LAYERS, "fc")}
    return Renamed(encoder, {name: tensors[name] for name in tensors if name not in encoder})


IMAGENET = Layout("torchvision's ImageNet weights", is_imagenet_resnet, rename_resnet, "rgb-imagenet", is_imagenet=True)
TORCHVISION = Layout("torchvision's ResNets", is_resnet, rename_resnet, "rgb-imagenet")
PLAIN = Layout("the encoder's own names", lambda _tensors: True, keep_names)
