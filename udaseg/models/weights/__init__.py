"""Load the initial weights of a network: from ImageNet, or from a file."""

from collections.abc import Sequence
from pathlib import Path

from udaseg import config
from udaseg.errors import UdasegError
from udaseg.models import tensorfile
from udaseg.models.network import Network
from udaseg.models.weights.apply import LoadResult, copy_tensors
from udaseg.models.weights.colors import convert_colors
from udaseg.models.weights.layouts import Tensors, find_layout
from udaseg.models.weights.model_file import load_model_file
from udaseg.models.weights.read import unwrap
from udaseg.models.weights.torchvision import download_imagenet

__all__ = ["LoadResult", "load"]


def load(network: Network, settings: config.Model, classes: Sequence[str] | None = None) -> LoadResult | None:
    """Load the weights that `settings.weights` names into a network; return None for `none`.

    `imagenet`: torchvision's weights, converted to the colour convention of the settings. A path: a `model.pt`, or a
    file of one of the LAYOUTS. Heads that do not fit keep their values and are reported; so do the heads of a
    `model.pt` whose classes are not `classes`. Raises UdasegError where the encoder does not fit, or the file is
    missing, damaged or of another kind.
    """
    if settings.weights == "none":
        return None
    if settings.weights == "imagenet":
        path = download_imagenet(settings.backbone)
        result = load_tensors(
            network, settings, unwrap(tensorfile.read(path), path), f"ImageNet weights of {settings.backbone}"
        )
        convert_colors(network.backbone, settings.color)
        return result._replace(caution=None)
    path = Path(settings.weights)
    if not path.is_file():
        raise UdasegError(
            f"there is no weights file {path}", "set model.weights to imagenet, none, or the path of a file"
        )
    content = tensorfile.read(path)
    if tensorfile.is_ours(content):
        return load_model_file(network, settings, path, *tensorfile.facts(path, content), classes)
    return load_tensors(network, settings, unwrap(content, path), str(path))


def load_tensors(network: Network, settings: config.Model, tensors: Tensors, source: str) -> LoadResult:
    """Rename the tensors of a foreign file and copy them into a network.

    `source` names the weights in messages. Raises UdasegError where the encoder does not fit.
    """
    layout = find_layout(tensors)
    renamed = layout.rename(tensors, settings)
    if layout.stride_first:
        network.move_strides()
    state = {f"backbone.{name}": value for name, value in renamed.encoder.items()} | renamed.heads
    result = copy_tensors(network, state, source)
    cautions = [renamed.caution] if renamed.caution else []
    if layout.color not in (None, settings.color):
        cautions.insert(0, f"{layout.title} have model.color={layout.color}, this one {settings.color}")
    return result._replace(caution="; ".join(cautions) or None)
