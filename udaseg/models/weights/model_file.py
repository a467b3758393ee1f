"""Load a `model.pt` of udaseg into another network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from udaseg import config
from udaseg.errors import UdasegError, join_names
from udaseg.models.network import Network
from udaseg.models.weights.apply import LoadResult, copy_tensors


def load_model_file(
    network: Network,
    settings: config.Model,
    path: Path,
    meta: dict[str, Any],
    tensors: dict[str, Tensor],
    classes: Sequence[str] | None,
) -> LoadResult:
    """Copy the tensors of a `model.pt` into a network; only the encoder's where its classes are not `classes`.

    Raises UdasegError where its colour convention differs, or its dilations where the classifier is copied.
    """
    expected = settings.model_dump(mode="json")
    has_same_classes = classes is None or list(classes) == meta["classes"]
    architectures = {config.Model(**meta["model"], weights="none").architecture, settings.architecture}
    for key in ("color", "aspp"):
        value = meta["model"][key]
        matters = key != "aspp" or (has_same_classes and architectures == {"deeplab"})
        if value != expected[key] and matters:
            raise UdasegError(
                f"{path} was trained with {key} {value}, the recipe has {expected[key]}", f"set model.{key}={value}"
            )
    if meta["stride_first"]:
        network.move_strides()
    if not has_same_classes:
        encoder = {name: value for name, value in tensors.items() if name.startswith("backbone.")}
        caution = f"it has other classes: {join_names(meta['classes'])}"
        return copy_tensors(network, encoder, str(path))._replace(caution=caution)
    return copy_tensors(network, tensors, str(path))
