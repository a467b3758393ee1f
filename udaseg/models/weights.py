"""Load the initial weights of a network: from ImageNet, or from a file."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from udaseg import config
from udaseg.errors import UdasegError, join_names
from udaseg.models.encoders import Encoder, imagenet_url
from udaseg.models.network import Network
from udaseg.models.normalisation import CONVENTIONS
from udaseg.models.tensorfile import check_finite, facts, is_ours, read

DOWNLOAD_TIMEOUT = 30  # seconds without an answer
BRANCHES = {"0": 6, "1": 12, "2": 18, "3": 24}  # branch of the published DeepLab head -> dilation
# The heads of the published DeepLabs. Their encoders come from Caffe: bottlenecks have the stride in the first 1x1.
CAFFE_HEADS = ("layer5.", "layer6.")
DEPTH_LAYERS = {"enc4_1": 0, "enc4_2": 2, "enc4_3": 4}  # layer of the published depth head (DADA) -> layer of ours


class LoadResult(NamedTuple):
    """The tensors that a weights file set in a network, those that it did not, and a caution to the user."""

    source: str
    loaded: int
    missing: tuple[str, ...]  # in the network, not in the file
    unexpected: tuple[str, ...]  # in the file, not in the network
    reshaped: tuple[str, ...]  # in both, of different shapes
    caution: str | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether file and network hold the same tensors, and there is no caution."""
        return not (self.missing or self.unexpected or self.reshaped or self.caution)

    def describe(self) -> str:
        """Describe the result in one line."""
        parts = [f"{self.source}: {self.loaded} tensors"]
        for kind in ("missing", "unexpected", "reshaped"):
            if names := getattr(self, kind):
                parts.append(f"{len(names)} {kind} ({join_names(names)})")
        if self.caution:
            parts.append(self.caution)
        return "; ".join(parts)


def load(network: Network, settings: config.Model, classes: Sequence[str] | None = None) -> LoadResult | None:
    """Load the weights that `settings.weights` names into a network; return None for `none`.

    `imagenet`: torchvision's weights, converted to the colour convention of the settings. A path: a `model.pt`, a
    torchvision ResNet, or a published DeepLab-v2 of the AdaptSegNet family. Heads that do not fit keep their values
    and are reported; so do the heads of a `model.pt` whose classes are not `classes`. Raises UdasegError where the
    encoder does not fit, or the file is missing, damaged or of another kind.
    """
    if settings.weights == "none":
        return None
    if settings.weights == "imagenet":
        state = rename_tensors(read(download_imagenet(settings.backbone)), network, settings.aspp)
        result = copy_tensors(network, state, f"ImageNet weights of {settings.backbone}")
        convert_colors(network.backbone, settings.color)
        return result
    path = Path(settings.weights)
    if not path.is_file():
        raise UdasegError(
            f"there is no weights file {path}", "set model.weights to imagenet, none, or the path of a file"
        )
    content = read(path)
    if is_ours(content):
        return load_model_file(network, settings, path, *facts(path, content), classes)
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not (
        isinstance(state, dict) and state and all(isinstance(k, str) and _is_dense_real(v) for k, v in state.items())
    ):
        raise UdasegError(
            f"{path} is not a dictionary of dense, real tensors by name", "save model.state_dict() with torch.save"
        )
    result = copy_tensors(network, rename_tensors(state, network, settings.aspp), str(path))
    family, color = ("published DeepLabs", "bgr-mean") if is_caffe(state) else ("torchvision's ResNets", "rgb-imagenet")
    cautions = []
    if settings.color != color:
        cautions.append(f"{family} have model.color={color}, this one {settings.color}")
    if untrained := _untrained_dilations(state) & set(settings.aspp):
        trained = ",".join(str(dilation) for dilation in settings.aspp if dilation not in untrained)
        cautions.append(
            f"its ASPP branches {sorted(untrained)} still have their initial weights, "
            f"so it was trained without them: set model.aspp=[{trained}]"
        )
    return result._replace(caution="; ".join(cautions) or None)


def _untrained_dilations(state: dict[str, Tensor]) -> set[int]:
    """Return the dilations of a published ASPP whose weights still follow N(0, 0.01), if others do not.

    AdaptSegNet's files hold four branches, of which its forward pass uses two.
    """
    is_initial: dict[int, list[bool]] = {}
    for key, value in state.items():
        match strip_prefix(key).split("."):
            case ["layer5" | "layer6", "conv2d_list", branch, "weight"] if branch in BRANCHES:
                follows = abs(float(value.std()) - 0.01) < 1e-4 and abs(float(value.mean())) < 1e-4
                is_initial.setdefault(BRANCHES[branch], []).append(follows)
    untrained = {dilation for dilation, flags in is_initial.items() if all(flags)}
    return set() if untrained == is_initial.keys() else untrained


def _is_dense_real(value: Any) -> bool:
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_complex())
    )


def imagenet_path(backbone: str) -> Path:
    """Return the path of an encoder's ImageNet weights in PyTorch's cache; the file may not exist."""
    return Path(torch.hub.get_dir()) / "checkpoints" / imagenet_url(backbone).rsplit("/", 1)[1]


def download_imagenet(backbone: str) -> Path:
    """Return the path of an encoder's ImageNet weights in PyTorch's cache, after a download if the file is missing.

    Raises UdasegError where the download fails.
    """
    url, path = imagenet_url(backbone), imagenet_path(backbone)
    if path.is_file():
        return path
    timeout = socket.getdefaulttimeout()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
        digest = path.name.removesuffix(".pth").rsplit("-", 1)[1]
        torch.hub.download_url_to_file(url, str(path), digest, progress=False)
    except (OSError, RuntimeError) as error:
        raise UdasegError(
            f"cannot download the ImageNet weights of {backbone}: {error}",
            f"download {url} elsewhere and copy it to {path}, or train from scratch with --set model.weights=none",
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
    return path


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
    for key in ("color", "aspp"):
        value = meta["model"][key]
        matters = key != "aspp" or (has_same_classes and meta["model"]["name"] == settings.name == "deeplab")
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


def strip_prefix(key: str) -> str:
    """Return the name of a tensor without the prefixes of wrappers: "module." and "Scale."."""
    return key.removeprefix("module.").removeprefix("Scale.")


def is_caffe(state: dict[str, Tensor]) -> bool:
    """Return whether weights are those of a published DeepLab, whose encoder comes from Caffe."""
    return any(strip_prefix(key).startswith(CAFFE_HEADS) for key in state)


def rename_tensors(state: dict[str, Tensor], network: Network, aspp: tuple[int, ...]) -> dict[str, Tensor]:
    """Rename the tensors of a published encoder or DeepLab to the names that this network has.

    Encoders have the names of torchvision. The DeepLabs of the AdaptSegNet family call the classifier layer5, or
    layer6 where layer5 is the auxiliary one; its branches 0 to 3 have the dilations 6, 12, 18, 24. For these, the
    strides of the network are moved (Network.move_strides). DADA's depth head is enc4_1 to enc4_3; its layer dec4
    exists in no network here.
    """
    encoder = {name.partition(".")[0] for name in network.backbone.state_dict()}
    heads = {"layer5": "classifier"}
    if any(strip_prefix(key).startswith("layer6.") for key in state):
        heads = {"layer5": "auxiliary", "layer6": "classifier"}
    renamed = {}
    for key, value in state.items():
        match strip_prefix(key).split("."):
            case [first, *_] if first in encoder:
                renamed[f"backbone.{strip_prefix(key)}"] = value
            case [first, "conv2d_list", branch, part] if first in heads and BRANCHES.get(branch) in aspp:
                renamed[f"{heads[first]}.{aspp.index(BRANCHES[branch])}.{part}"] = value
            case [first, part] if first in DEPTH_LAYERS:
                renamed[f"heads.depth.{DEPTH_LAYERS[first]}.{part}"] = value
            case [first, *_] if first != "fc":
                renamed[strip_prefix(key)] = value
    if is_caffe(state):
        network.move_strides()
    return renamed


def copy_tensors(network: Network, state: dict[str, Tensor], source: str) -> LoadResult:
    """Copy all tensors of the same name and shape into the network.

    `source` names the weights in messages. Raises UdasegError where a tensor of the encoder is missing or has another
    shape, and for NaN or infinite values.
    """
    expected = network.state_dict()
    shared = expected.keys() & state.keys()
    reshaped = tuple(name for name in expected if name in shared and expected[name].shape != state[name].shape)
    # Networks saved before PyTorch 0.4.1 have no batch counters, which nothing here uses.
    missing = tuple(name for name in expected if name not in state and not name.endswith("num_batches_tracked"))
    unfit = tuple(name for name in (*missing, *reshaped) if name.startswith("backbone."))
    if unfit:
        raise UdasegError(
            f"{source} does not fit the backbone: {len(unfit)} tensors are missing or have another shape "
            f"({join_names(unfit)})",
            "set the model.backbone and model.name that the file was trained with, or model.weights=none",
        )
    fitting = {name: state[name] for name in expected if name in shared and name not in reshaped}
    check_finite(source, fitting)
    network.load_state_dict(fitting, strict=False)
    return LoadResult(source, len(fitting), missing, tuple(sorted(state.keys() - expected.keys())), reshaped)


@torch.no_grad()
def convert_colors(backbone: Encoder, color: str) -> None:
    """Convert an encoder's weights from the colour convention `rgb-imagenet` to another one, in place.

    Let z be the new input and x the old one: x = (z std + mean - MEAN) / STD for each channel. The first convolution
    takes over the factor, its normalisation the constant. The output stays the same, except at the zero-padded
    border. The running statistics take over the scale, so that the weights keep their magnitude: a convolution 57
    times smaller would learn 3,000 times faster.
    """
    if color == "rgb-imagenet":
        return
    order, mean, std = CONVENTIONS[color]
    trained = CONVENTIONS["rgb-imagenet"]
    channels = list(order)
    old_mean, old_std = torch.tensor(trained.mean)[channels], torch.tensor(trained.std)[channels]
    gain, offset = torch.tensor(std) / old_std, (torch.tensor(mean) - old_mean) / old_std
    scale = max(1.0, float(1 / gain.mean()))
    conv, bn = backbone.conv1, backbone.bn1
    weight = conv.weight[:, channels]
    bn.running_mean.sub_((weight * offset.view(1, 3, 1, 1)).sum((1, 2, 3))).mul_(scale)
    bn.running_var.copy_((bn.running_var + bn.eps) * scale**2 - bn.eps)
    conv.weight.copy_(weight * (gain * scale).view(1, 3, 1, 1))
