"""Load the initial weights of a network: from ImageNet, from an installed package, or from a file."""

from collections.abc import Sequence

from udaseg import config
from udaseg.config.networks import ENCODERS
from udaseg.errors import UdasegError
from udaseg.io.weights_file import PACKAGE, find_weights_file
from udaseg.models import tensorfile
from udaseg.models.encoders import resolve_color
from udaseg.models.network import Network
from udaseg.models.weights.apply import LoadResult, copy_tensors
from udaseg.models.weights.by_timm import convert_by_timm
from udaseg.models.weights.imagenet import download_imagenet
from udaseg.models.weights.layouts import find_layout
from udaseg.models.weights.model_file import load_model_file
from udaseg.models.weights.read import Unwrapped, read_content, unwrap
from udaseg.models.weights.recolor import convert_colors

__all__ = ["LoadResult", "load"]

# Layers of ImageNet's 1,000 classes, by the names of torchvision and timm. That a network lacks them is no news.
IMAGENET_LAYERS = (
    "fc.", "classifier.", "head.", "head_dist.", "conv_head.", "norm_head.", "fc_norm.", "norm.", "bn2.",
)  # fmt: skip


def load(network: Network, settings: config.Model, classes: Sequence[str] | None = None) -> LoadResult | None:
    """Load the weights that `settings.weights` names into a network; return None for `none`.

    `imagenet`: the weights of torchvision or timm, converted to the colour convention of the settings.
    `pip:PACKAGE`: the file of weights in an installed package. A path: a `model.pt`, or a file of one of the LAYOUTS.
    Heads that do not fit keep their values and are reported; so do the heads of a `model.pt` whose classes are not
    `classes`. Raises UdasegError where the encoder does not fit, or the file is missing, damaged or of another kind.
    """
    if settings.weights == "none":
        return None
    if settings.weights == "imagenet":
        name = settings.encoder_name
        path = download_imagenet(name)
        trained = resolve_color(settings.model_copy(update={"color": "auto"})).color
        source = f"ImageNet weights of {name}"
        return load_tensors(network, settings, unwrap(read_content(path), path), source, trained)._replace(caution=None)
    path = find_weights_file(settings.weights)
    content = read_content(path)
    if tensorfile.is_ours(content):
        return load_model_file(network, settings, path, *tensorfile.facts(path, content), classes)
    if settings.weights.startswith(PACKAGE):
        result = load_tensors(network, settings, unwrap(content, path), settings.weights)
        return result._replace(missing=())  # a package holds an encoder: that the decoder is missing is no news
    return load_tensors(network, settings, unwrap(content, path), str(path))


def load_tensors(
    network: Network, settings: config.Model, unwrapped: Unwrapped, source: str, trained: str | None = None
) -> LoadResult:
    """Rename the tensors of a foreign file and copy them into a network.

    `source` names the weights in messages. ImageNet's weights are converted to the colour convention of the settings,
    from `trained` or from that of their layout. Raises UdasegError where the encoder does not fit.
    """
    layout = find_layout(unwrapped.tensors)
    renamed = layout.rename(unwrapped.tensors, settings)
    if layout.stride_first:
        if settings.encoder_name not in ENCODERS:
            raise UdasegError(
                f"{source} is a ResNet with strides in other layers than {settings.encoder_name}",
                f"set model.encoder to one of {', '.join(ENCODERS)}, or model.weights=none",
            )
        network.move_strides()
    encoder = network.backbone.state_dict()
    tensors = renamed.encoder
    if settings.encoder_name not in ENCODERS:
        tensors = convert_by_timm(tensors, network.backbone)
    state = {
        f"backbone.{name}": value
        for name, value in tensors.items()
        if name in encoder or not name.startswith(IMAGENET_LAYERS)
    }
    result = copy_tensors(network, state | renamed.heads, source)
    cautions = [text for text in (unwrapped.remark, renamed.caution) if text]
    if trained is None and layout.is_imagenet:
        trained = layout.color
    if trained is not None:
        convert_colors(network.backbone, trained, settings.color)
    if layout.color not in (None, settings.color):
        differ = f"{layout.title} have model.color={layout.color}, this one {settings.color}"
        cautions.insert(0, differ if trained is None else f"{differ}: the first layer is converted")
    return result._replace(caution="; ".join(cautions) or None)
