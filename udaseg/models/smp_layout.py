"""Networks of udaseg that segmentation_models_pytorch builds too: its configuration, its names, and its network.

Only these compute the same: the decoders `smp/NAME`, which are that package's own, and `segformer` on an encoder of
timm whose first map has stride 4. Its Segformer reads a map at stride 2 where there is one. It ends in an enlargement
with `align_corners`, which udaseg's has not: it is left out.
"""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from udaseg import config
from udaseg.config.networks import SMP
from udaseg.errors import UdasegError
from udaseg.models.decoders.segformer import WIDTH
from udaseg.models.decoders.smp import STRIDED
from udaseg.models.encoders.names import timm_name
from udaseg.models.encoders.timm import TimmEncoder
from udaseg.models.network import Network
from udaseg.models.output import Output

PACKAGE = "segmentation_models_pytorch"
MULTIPLE = 32  # of which the sides of an image must be multiples there
ENCODER = "encoder.model."
HEAD = {"classifier.": "segmentation_head.0."}
PARTS = {"fuse.": "decoder.fuse_stage.", **{f"laterals.{i}.": f"decoder.mlp_stage.{3 - i}.linear." for i in range(4)}}


def difference(settings: config.Model, network: Network) -> str | None:
    """Say why that package has no network that computes the same; None where it has one."""
    if settings.heads:
        return f"it has no network with the heads {', '.join(settings.heads)}"
    if settings.detail is not None:
        return "it has no network that sees two resolutions"
    if settings.architecture.startswith(SMP):
        return None
    if settings.architecture != "segformer":
        return f"none of its decoders computes what {settings.architecture} computes"
    encoder = network.backbone
    if not isinstance(encoder, TimmEncoder) or encoder.is_plain:
        return f"its Segformer has no encoder that computes what {settings.encoder} computes"
    if encoder.level_indices[0] > 0:
        return f"its Segformer reads the map of {settings.encoder} at stride 2 too"
    return None if settings.stride == MULTIPLE else f"its Segformer has no encoder at stride {settings.stride}"


def build(settings: config.Model, classes: int) -> nn.Module:
    """Build the package's own network, with random weights. Raises UdasegError where the package is missing."""
    if find_spec(PACKAGE) is None:
        raise UdasegError(f"this network is one of {PACKAGE}, and a folder of it needs the package", _INSTALL)
    import segmentation_models_pytorch

    assert settings.encoder is not None
    name, arguments = timm_name(settings.encoder)
    architecture = settings.architecture.removeprefix(SMP)
    options: dict[str, Any] = {"encoder_output_stride": settings.stride} if architecture in STRIDED else {}
    if settings.architecture == "segformer":
        options = {"decoder_segmentation_channels": settings.width or WIDTH, "upsampling": 1}
    with torch.random.fork_rng(devices=[]):
        return segmentation_models_pytorch.create_model(
            architecture, f"tu-{name}", encoder_weights=None, classes=classes, **options, **arguments
        )


def configuration(foreign: Any) -> dict[str, Any]:
    """Return what config.json has to say, so that the package's `from_pretrained` builds a network."""
    return {**foreign.config, "_model_class": type(foreign).__name__}


def to_foreign_names(network: Network, foreign: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a network under the names of the package's, in the shapes that they have there."""
    own, shapes = network.state_dict(), foreign.state_dict()
    names = _match_names(own, shapes)
    return {other: own[name].reshape(shapes[other].shape).contiguous() for name, other in names.items()}


def to_own_names(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file of the package under the names of a network, in the shapes that it has."""
    own = network.state_dict()
    named = {name: tensors[other] for name, other in _match_names(own, tensors).items()}
    # One of another size stays as it is: the network, which does not take it, says so.
    return {
        name: value.reshape(own[name].shape) if value.numel() == own[name].numel() else value
        for name, value in named.items()
    }


def read(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build a network with the package alone, from a config.json and tensors that have to fit in every name."""
    import segmentation_models_pytorch

    network = getattr(segmentation_models_pytorch, content["_model_class"])(
        **{key: value for key, value in content.items() if not key.startswith("_")}
    )
    network.load_state_dict(tensors)
    return network.eval()


class Adapter(nn.Module):
    """Give a network of the package the output of one of udaseg: logits before the enlargement at its end."""

    def __init__(self, foreign: Any, align_corners: bool):
        super().__init__()
        self.foreign, self.align_corners = foreign, align_corners

    def forward(self, image_N3HW: Tensor) -> Output:
        features_NDhw = self.foreign.decoder(self.foreign.encoder(image_N3HW))
        return Output(self.foreign.segmentation_head[0](features_NDhw), features_NDhw)


def _match_names(own: Iterable[str], foreign: Iterable[str]) -> dict[str, str]:
    """Return the package's name of each tensor of a network of udaseg; raise UdasegError where names are left over.

    The package wraps encoders of timm, and the wrapper has underscores where timm has some of its dots.
    """
    squeezed = {_squeeze(name): name for name in foreign}
    names = {name: squeezed.pop(_squeeze(_translate(name)), None) for name in own}
    left_over = [*(name for name, other in names.items() if other is None), *squeezed.values()]
    if left_over:
        raise UdasegError(
            f"the tensors are not those of {PACKAGE}: {left_over[0]} has no counterpart",
            f"pip install --upgrade {PACKAGE}, or export to a single file, such as --out model.safetensors",
        )
    return {name: other for name, other in names.items() if other is not None}


def _translate(name: str) -> str:
    table = {"backbone.": ENCODER, **HEAD, **PARTS}
    return next((other + name.removeprefix(own) for own, other in table.items() if name.startswith(own)), name)


def _squeeze(name: str) -> str:
    return name.replace(".", "").replace("_", "")


_INSTALL = "pip install 'udaseg[smp]', or export to a single file, such as --out model.safetensors"
