"""The networks, encoders and decoders that a recipe may name, and the modules in udaseg.models that build them.

The tables hold names of modules, so that a recipe is checked without an import of PyTorch.
"""

# model.name or model.decoder -> module in udaseg/models/decoders/ with build(settings: Model, classes: int) -> Network
DECODERS = {
    "deeplab": "deeplab",
    "bisenet": "bisenet",
    "fpn": "fpn",
    "segformer": "segformer",
    "daformer": "daformer",
    "aspp": "aspp",
    "linear": "linear",
    "upscale": "upscale",
    "fcn8s": "fcn8s",
    "dilated": "dilated",
}
# model.decoder=smp/NAME -> module for the decoders of segmentation_models_pytorch, an extra
SMP = "smp/"
SMP_NAMES = (
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet",
    "segformer",
)  # fmt: skip
# model.name: the decoders that also stand for a published network, on an encoder of the table below
NETWORKS = ("deeplab", "bisenet", "fpn", "fcn8s", "dilated")

# model.backbone -> module in udaseg/models/encoders/ with build(name, **options) -> Encoder, and IMAGENET
ENCODERS = {
    "resnet18": "resnet",
    "resnet50": "resnet",
    "resnet101": "resnet",
    "vgg16": "vgg",
    "resnet38": "wide_resnet",
}
# model.encoder: the module for all names that are not in the table
ANY_ENCODER = "timm"


def decoder_module(decoder: str) -> str:
    """Return the module in udaseg/models/decoders/ that builds a decoder."""
    return "smp" if decoder.startswith(SMP) else DECODERS[decoder]
