"""Where a network's first weights come from: ImageNet, nothing, or a file."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.models import ResNet18_Weights, ResNet50_Weights, ResNet101_Weights

from udaseg import config
from udaseg.errors import UdasegError
from udaseg.models.encoders.resnet import ResNet
from udaseg.models.network import Network
from udaseg.models.normalisation import CONVENTIONS
from udaseg.models.tensorfile import check_finite, facts, is_ours, read

# The first generation, which the papers start from.
IMAGENET = {
    "resnet18": ResNet18_Weights.IMAGENET1K_V1,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1,
    "resnet101": ResNet101_Weights.IMAGENET1K_V1,
}
PATIENCE = 30  # seconds without an answer before a download counts as failed
BRANCHES = {"0": 6, "1": 12, "2": 18, "3": 24}  # branch of the published DeepLab head: dilation
BODY = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
CAFFE = ("layer5.", "layer6.")  # the heads of the published DeepLabs: their bottlenecks stride first, as Caffe's
DEPTH = {"enc4_1": 0, "enc4_2": 2, "enc4_3": 4}  # layer of the published depth head (DADA): of ours


class Loaded(NamedTuple):
    """Which parameters a weights file set, which it did not, and what else is to be known of it."""

    source: str
    loaded: int
    missing: tuple[str, ...]  # in the network, not in the file
    unexpected: tuple[str, ...]  # in the file, not in the network
    reshaped: tuple[str, ...]  # in both, of different shapes
    caution: str | None = None

    @property
    def plain(self) -> bool:
        """Tell whether the file and the network hold the same, and there is nothing to say of it."""
        return not (self.missing or self.unexpected or self.reshaped or self.caution)

    def describe(self) -> str:
        """Say it in one line."""
        parts = [f"{self.source}: {self.loaded} tensors"]
        for what in ("missing", "unexpected", "reshaped"):
            if names := getattr(self, what):
                parts.append(f"{len(names)} {what} ({listed(names)})")
        if self.caution:
            parts.append(self.caution)
        return "; ".join(parts)


def listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def load(network: Network, settings: config.Model, names: Sequence[str] | None = None) -> Loaded | None:
    """Set the network's weights as `settings.weights` says; None for `none`.

    `imagenet`: torchvision's, refitted to the colour convention of the settings. A file: one of ours
    (`model.pt`), a torchvision ResNet, or a published DeepLab-v2 of the AdaptSegNet family. Heads that
    do not fit, or of a network of ours whose classes are not `names`, stay as they were and are reported;
    a backbone that does not fit raises UdasegError.
    """
    if settings.weights == "none":
        return None
    if settings.weights == "imagenet":
        state = read(imagenet(settings.backbone))
        loaded = apply(network, published(state, network, settings.aspp), f"ImageNet weights of {settings.backbone}")
        recolor(network.backbone, settings.color)
        return loaded
    path = Path(settings.weights)
    if not path.is_file():
        raise UdasegError(f"there is no weights file {path}", "give imagenet, none, or the path of a file")
    content = read(path)
    if is_ours(content):
        return apply_own(network, settings, path, *facts(path, content), names)
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not (isinstance(state, dict) and state and all(isinstance(k, str) and _dense_real(v) for k, v in state.items())):
        raise UdasegError(
            f"{path} is not a dictionary of dense, real tensors by name", "save model.state_dict() with torch.save"
        )
    loaded = apply(network, published(state, network, settings.aspp), str(path))
    whose, color = ("published DeepLabs", "bgr-mean") if caffe(state) else ("torchvision's ResNets", "rgb-imagenet")
    cautions = []
    if settings.color != color:
        cautions.append(f"{whose} see model.color={color}, this one {settings.color}")
    if idle := _never_trained(state) & set(settings.aspp):
        trained = ",".join(str(dilation) for dilation in settings.aspp if dilation not in idle)
        cautions.append(
            f"its ASPP branches {sorted(idle)} have the weights they began with, so it was trained without them: "
            f"set model.aspp=[{trained}]"
        )
    return loaded._replace(caution="; ".join(cautions) or None)


def _never_trained(state: dict[str, Tensor]) -> set[int]:
    """Give the dilations of a published ASPP whose weights are as they were drawn, N(0, 0.01), where others are not.

    AdaptSegNet's forward pass returns after its second branch, and its files hold four.
    """
    drawn: dict[int, list[bool]] = {}
    for key, value in state.items():
        match bare(key).split("."):
            case ["layer5" | "layer6", "conv2d_list", branch, "weight"] if branch in BRANCHES:
                as_drawn = abs(float(value.std()) - 0.01) < 1e-4 and abs(float(value.mean())) < 1e-4
                drawn.setdefault(BRANCHES[branch], []).append(as_drawn)
    idle = {dilation for dilation, flags in drawn.items() if all(flags)}
    return set() if idle == drawn.keys() else idle


def _dense_real(value: Any) -> bool:
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_complex())
    )


def cached(backbone: str) -> Path:
    """Name the file in PyTorch's cache that torchvision's ImageNet weights have, or will have."""
    return Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET[backbone].url.rsplit("/", 1)[1]


def imagenet(backbone: str) -> Path:
    """Return the file of torchvision's ImageNet weights, downloading it into PyTorch's cache when absent."""
    url, path = IMAGENET[backbone].url, cached(backbone)
    name = path.name
    if path.is_file():
        return path
    patience = socket.getdefaulttimeout()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(PATIENCE)
        digest = name.removesuffix(".pth").rsplit("-", 1)[1]
        torch.hub.download_url_to_file(url, str(path), digest, progress=False)
    except (OSError, RuntimeError) as error:
        raise UdasegError(
            f"cannot download the ImageNet weights of {backbone}: {error}",
            f"fetch {url} elsewhere and put it at {path}, or train from scratch with --set model.weights=none",
        ) from None
    finally:
        socket.setdefaulttimeout(patience)
    return path


def apply_own(
    network: Network,
    settings: config.Model,
    path: Path,
    meta: dict[str, Any],
    tensors: dict[str, Tensor],
    names: Sequence[str] | None,
) -> Loaded:
    """Copy a network of ours, provided its tensors mean the same here: one colour convention, one set of dilations.

    Of a network of other classes than `names` the backbone is copied.
    """
    expected, same_classes = settings.model_dump(mode="json"), names is None or list(names) == meta["classes"]
    for key in ("color", "aspp"):
        found = meta["model"][key]
        read_by_both = key != "aspp" or (same_classes and meta["model"]["name"] == settings.name == "deeplab")
        if found != expected[key] and read_by_both:
            raise UdasegError(
                f"{path} was trained with {key} {found}, the recipe has {expected[key]}", f"set model.{key}={found}"
            )
    if meta["stride_first"]:
        network.move_strides()
    if not same_classes:
        body = {name: value for name, value in tensors.items() if name.startswith("backbone.")}
        return apply(network, body, str(path))._replace(caution=f"its classes are others: {listed(meta['classes'])}")
    return apply(network, tensors, str(path))


def bare(key: str) -> str:
    """Give the name of a tensor without what wrappers put before it."""
    return key.removeprefix("module.").removeprefix("Scale.")


def caffe(state: dict[str, Tensor]) -> bool:
    """Tell a published DeepLab from a torchvision ResNet."""
    return any(bare(key).startswith(CAFFE) for key in state)


def published(state: dict[str, Tensor], network: Network, aspp: tuple[int, ...]) -> dict[str, Tensor]:
    """Rename the tensors of torchvision's ResNets and of AdaptSegNet-style DeepLabs to ours.

    The latter call their head layer5 or, where layer5 is an auxiliary one, layer6, with branches for the
    dilations 6, 12, 18, 24 in that order; their bottlenecks are Caffe's, which stride first. DADA estimates
    depth by enc4_1 to enc4_3; what it makes of that for the classifier (dec4) no network here has.
    """
    heads = {"layer5": "classifier"}
    if any(bare(key).startswith("layer6.") for key in state):
        heads = {"layer5": "auxiliary", "layer6": "classifier"}
    renamed = {}
    for key, value in state.items():
        match bare(key).split("."):
            case [first, *_] if first in BODY:
                renamed[f"backbone.{bare(key)}"] = value
            case [first, "conv2d_list", branch, part] if first in heads and BRANCHES.get(branch) in aspp:
                renamed[f"{heads[first]}.{aspp.index(BRANCHES[branch])}.{part}"] = value
            case [first, part] if first in DEPTH:
                renamed[f"heads.depth.{DEPTH[first]}.{part}"] = value
            case [first, *_] if first != "fc":
                renamed[bare(key)] = value
    if caffe(state):
        network.move_strides()
    return renamed


def apply(network: Network, state: dict[str, Tensor], source: str) -> Loaded:
    """Copy what fits into the network; raise UdasegError unless all of the backbone does."""
    own = network.state_dict()
    shared = own.keys() & state.keys()
    reshaped = tuple(name for name in own if name in shared and own[name].shape != state[name].shape)
    # Networks saved before PyTorch 0.4.1 have no batch counters; nothing depends on them here.
    missing = tuple(name for name in own if name not in state and not name.endswith("num_batches_tracked"))
    unfit = tuple(name for name in (*missing, *reshaped) if name.startswith("backbone."))
    if unfit:
        raise UdasegError(
            f"{source} does not fit the backbone: {len(unfit)} tensors missing or of another shape ({listed(unfit)})",
            "choose the model.backbone and model.name the file was trained with, or model.weights=none",
        )
    fitting = {name: state[name] for name in own if name in shared and name not in reshaped}
    check_finite(source, fitting)
    network.load_state_dict(fitting, strict=False)
    return Loaded(source, len(fitting), missing, tuple(sorted(state.keys() - own.keys())), reshaped)


@torch.no_grad()
def recolor(backbone: ResNet, color: str) -> None:
    """Refit weights trained with `rgb-imagenet` to another colour convention.

    With z the new input and x the old one, x = (z std + mean - MEAN) / STD channel by channel, which the
    first convolution absorbs, and its normalisation absorbs the constant. The output is the same away
    from the zero-padded border. Weights keep their magnitude (the running statistics take the scale
    instead): a convolution 57 times smaller would learn 3,000 times faster.
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
