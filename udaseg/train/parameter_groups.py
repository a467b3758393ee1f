"""The groups of an optimizer: which parameters have which learning rate, and which no weight decay."""

from typing import Any

from torch import nn

from udaseg.config import Training
from udaseg.errors import UdasegError
from udaseg.models import Network

# How the parameters of an encoder that is not timm's are named, in the form of timm's `group_matcher`.
RESNET = {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)\.(\d+)"}


def parameter_groups(model: Network, settings: Training) -> list[dict[str, Any]]:
    """Return the parameters of a network in groups with a learning rate, as PyTorch's optimizers take them.

    The rate is `lr` in the last block of the encoder, and lower by the factor `layer_decay` in each block before it.
    It is `lr * head_lr` outside the encoder. With `no_decay=norms` one-dimensional parameters, position embeddings and
    tokens are in groups without weight decay. The first group has the rate `lr`. Raises UdasegError where the encoder
    has no sequence of blocks that `layer_decay` could count.
    """
    blocks_after = _blocks_after(model.backbone) if settings.layer_decay < 1 else {}
    exempt = _without_decay(model) if settings.no_decay == "norms" else set()
    groups: dict[tuple[bool, int, bool], list[nn.Parameter]] = {}
    for is_head, parameters in ((False, model.backbone_parameters()), (True, model.head_parameters())):
        for parameter in parameters:
            groups.setdefault((is_head, blocks_after.get(parameter, 0), parameter in exempt), []).append(parameter)
    return [
        {"params": parameters, "lr": settings.lr * (settings.head_lr if is_head else settings.layer_decay**blocks)}
        | ({"weight_decay": 0.0} if has_no_decay else {})
        for (is_head, blocks, has_no_decay), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def head_groups(head: nn.Module, settings: Training) -> list[dict[str, Any]]:
    """Return the parameters of a head beside the network in groups with the learning rate of the network's heads.

    With `no_decay=norms` one-dimensional parameters are in a group without weight decay.
    """
    rate, parameters = settings.lr * settings.head_lr, list(head.parameters())
    if settings.no_decay == "none":
        return [{"params": parameters, "lr": rate}]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "lr": rate},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "lr": rate, "weight_decay": 0.0},
    ]


def _blocks_after(encoder: nn.Module) -> dict[nn.Parameter, int]:
    """Return how many blocks of an encoder come after the one of each parameter; the stem is a block too."""
    from timm.models import group_parameters

    matcher = encoder.group_matcher(coarse=False) if hasattr(encoder, "group_matcher") else RESNET
    block = group_parameters(encoder, matcher, reverse=True)
    last = max(block.values())
    if last == 0:
        raise UdasegError(
            "layer_decay lowers the learning rate from block to block, and this encoder has no blocks in sequence",
            "set layer_decay=1, or choose an encoder of timm",
        )
    return {parameter: last - block[name] for name, parameter in encoder.named_parameters()}


def _without_decay(model: Network) -> set[nn.Parameter]:
    """Return the parameters that are no weights: norms, biases, position embeddings and tokens."""
    tables = getattr(model.backbone, "no_weight_decay", set)()  # as timm names them
    named = {parameter for name, parameter in model.backbone.named_parameters() if name in tables}
    return {parameter for parameter in model.parameters() if parameter.ndim <= 1} | named
