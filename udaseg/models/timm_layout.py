"""The encoder of a network as timm builds it: its name and arguments there, its configuration, its maps."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import timm
from torch import Tensor, nn

from udaseg import config
from udaseg.config import HxW
from udaseg.errors import UdasegError
from udaseg.models.colors import CONVENTIONS
from udaseg.models.encoders.resnet import ResNet
from udaseg.models.encoders.timm import TimmEncoder, timm_arguments
from udaseg.models.network import Network


class TimmEncoderFacts(NamedTuple):
    """How timm builds an encoder and returns the maps that the decoder reads."""

    architecture: str
    arguments: dict[str, Any]
    indices: list[int]  # of the maps among all that timm offers
    is_normalised: bool  # whether the last norm is applied to the maps
    is_pruned: bool  # whether timm builds layers behind the last map, which the encoder lacks


def describe(network: Network, settings: config.Model) -> TimmEncoderFacts:
    """Return how timm builds the encoder of a network. Raises UdasegError where no model of timm computes the same."""
    encoder, name = network.backbone, settings.encoder_name
    if isinstance(encoder, TimmEncoder):
        stride = 32 if settings.encoder is None else settings.stride
        architecture, arguments = timm_arguments(name, stride)
        indices, is_normalised = list(encoder.level_indices), encoder.is_plain
    elif isinstance(encoder, ResNet) and not _is_dilated(encoder) and not network.stride_first:
        # timm's network of that name has torchvision's tensors, and one map more, before the first layer.
        architecture, arguments, indices, is_normalised = name, {}, list(encoder.taps), False
    else:
        raise UdasegError(
            f"timm has no encoder that computes what this {name} computes",
            "export the whole network: leave out --encoder",
        )
    whole = timm.create_model(architecture, num_classes=0, **arguments)
    is_pruned = whole.state_dict().keys() != encoder.state_dict().keys()
    return TimmEncoderFacts(architecture, arguments, indices, is_normalised, is_pruned)


def configuration(facts: TimmEncoderFacts, color: str, size: HxW) -> dict[str, Any]:
    """Return what config.json has to say, so that timm builds the encoder from a folder and knows its colours."""
    model = timm.create_model(facts.architecture, num_classes=0, **facts.arguments)
    convention = CONVENTIONS[color]
    return {
        "architecture": facts.architecture,
        "num_classes": 0,
        "num_features": model.num_features,
        "model_args": facts.arguments,
        "pretrained_cfg": {
            "input_size": [3, *size],
            "fixed_input_size": False,
            "mean": [round(value / 255, 6) for value in convention.mean],
            "std": [round(value / 255, 6) for value in convention.std],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "num_classes": 0,
            "first_conv": model.pretrained_cfg.get("first_conv"),
            "classifier": model.pretrained_cfg.get("classifier"),
        },
    }


def read(content: Mapping[str, Any], facts: TimmEncoderFacts, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build an encoder with timm alone, from a config.json and tensors that have to fit in every name."""
    model = timm.create_model(content["architecture"], num_classes=0, **content["model_args"])
    if facts.is_pruned:
        model.prune_intermediate_layers(prune_norm=not facts.is_normalised, prune_head=True)
    model.load_state_dict(tensors)
    return model.eval()


class Adapter(nn.Module):
    """Give a model of timm the form of an encoder of udaseg."""

    def __init__(self, model: Any, facts: TimmEncoderFacts, multiple: int):
        super().__init__()
        self.model, self.facts, self.multiple = model, facts, multiple

    def forward(self, image_N3HW: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.forward_intermediates(
            image_N3HW, indices=self.facts.indices, norm=self.facts.is_normalised, intermediates_only=True
        )
        return tuple(maps)


def _is_dilated(encoder: ResNet) -> bool:
    convolutions = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    return encoder.maxpool.ceil_mode or any(conv.dilation != (1, 1) for conv in convolutions)
