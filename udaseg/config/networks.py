"""The networks and encoders that a recipe may name, and the module in udaseg.models that builds each.

The tables hold names of modules, so that a recipe is checked without an import of PyTorch.
"""

# model.name -> module in udaseg/models/ with build(settings: Model, classes: int) -> Network
NETWORKS = {
    "deeplab": "deeplab",
    "bisenet": "bisenet",
    "fpn": "fpn",
}

# model.backbone -> module in udaseg/models/encoders/ with build(name, **options) -> Encoder, and IMAGENET
ENCODERS = {
    "resnet18": "resnet",
    "resnet50": "resnet",
    "resnet101": "resnet",
}
