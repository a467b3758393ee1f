"""The decoders of segmentation_models_pytorch, on an encoder of timm as udaseg builds it."""

import math
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from udaseg.config import Model
from udaseg.config.networks import ENCODERS, SMP
from udaseg.errors import UdasegError
from udaseg.models.encoders import Encoder, select_encoder
from udaseg.models.network import Decoded, Network

STRIDED = ("deeplabv3", "deeplabv3plus", "pan")  # these dilate the encoder


class SmpDecoder(Network):
    """Compute class logits with a decoder of segmentation_models_pytorch, without the enlargement at its end.

    `inputs` holds the channels of each map that the decoder reads after the image; 0 stands for a map that the
    encoder lacks. Features are the decoder's map.
    """

    align_corners = True  # as in the enlargement that is left out
    inner_classifiers = 0

    def __init__(self, encoder: Encoder, decoder: nn.Module, classifier: nn.Conv2d, inputs: tuple[int, ...]):
        super().__init__()
        self.backbone, self.decoder, self.classifier = encoder, decoder, classifier
        self.feature_channels, self.inputs = classifier.in_channels, inputs

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        height, width = (side // 2 for side in image_N3HW.shape[-2:])
        rest = iter(maps)
        levels = [next(rest) if channels else image_N3HW.new_empty(1, 0, height, width) for channels in self.inputs]
        features_NDhw = self.decoder([image_N3HW, *levels])
        return Decoded(self.classifier(features_NDhw), features_NDhw)


def build(settings: Model, classes: int) -> SmpDecoder:
    """Build a network with a decoder of segmentation_models_pytorch from the `model` section of a recipe.

    Raises UdasegError where the package is missing, or cannot put this decoder on this encoder.
    """
    outline = _outline(settings, classes)
    inputs = tuple(outline.encoder.out_channels[1:])
    encoder = select_encoder(settings, tuple(level for level, channels in enumerate(inputs) if channels))
    encoder.multiple = math.lcm(encoder.multiple, 32)  # the decoders enlarge by factors of two
    from udaseg.models.encoders.norms import adopt_batch_norms

    adopt_batch_norms(outline.decoder, settings.decoder)
    return SmpDecoder(encoder, outline.decoder, outline.segmentation_head[0], inputs)


def _outline(settings: Model, classes: int) -> Any:
    """Build the package's own network, whose decoder is used."""
    if find_spec("segmentation_models_pytorch") is None:
        raise UdasegError(
            f"the decoder {settings.decoder} needs segmentation_models_pytorch", "pip install 'udaseg[smp]'"
        )
    if settings.encoder in ENCODERS:
        hint = f"name its weights in timm: model.encoder={settings.encoder}.tv_in1k"
        if settings.encoder == "resnet38":  # all others of the table are torchvision's
            hint = "set model.decoder=dilated or fpn"
        raise UdasegError(f"{settings.decoder} needs an encoder of timm, and {settings.encoder} is another", hint)
    import segmentation_models_pytorch

    from udaseg.models.encoders.names import timm_name

    architecture = settings.decoder.removeprefix(SMP)
    stride = {"encoder_output_stride": settings.stride} if architecture in STRIDED else {}
    try:
        return segmentation_models_pytorch.create_model(
            architecture, f"tu-{timm_name(settings.encoder)[0]}", encoder_weights=None, classes=classes, **stride
        )
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UdasegError(
            f"segmentation_models_pytorch cannot build {architecture} on {settings.encoder}: {reason}",
            "set model.decoder=fpn or segformer, or model.stride to 8, 16 or 32",
        ) from None
