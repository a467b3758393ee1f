"""Files whose encoder has the same names here: torchvision, timm, and encoders of one's own."""

from udaseg import config
from udaseg.models.weights.layouts.layout import Layout, Renamed, Tensors

RESNET_LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
IMAGENET_CLASSIFIERS = ("fc.",)  # the classifiers of 1,000 classes, which no segmentation network has


def is_resnet(tensors: Tensors) -> bool:
    """Return whether tensors include those of a ResNet by the names of torchvision."""
    return {"conv1.weight", "layer4.0.conv1.weight"} <= tensors.keys()


def keep_names(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Take all tensors for the encoder's, without the ImageNet classifier."""
    return Renamed({name: value for name, value in tensors.items() if not name.startswith(IMAGENET_CLASSIFIERS)}, {})


def rename_resnet(tensors: Tensors, _settings: config.Model) -> Renamed:
    """Separate the layers of a ResNet from other layers, without the ImageNet classifier."""
    encoder = {name: value for name, value in tensors.items() if name.partition(".")[0] in RESNET_LAYERS}
    heads = {name: tensors[name] for name in tensors.keys() - encoder.keys() if not name.startswith("fc.")}
    return Renamed(encoder, heads)


TORCHVISION = Layout("torchvision's ResNets", is_resnet, rename_resnet, "rgb-imagenet")
PLAIN = Layout("the encoder's own names", lambda _tensors: True, keep_names)
