"""The start of every training stage: network, optimizer, number format, and checks of the sizes of the images."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from udaseg.config import Model, Training
from udaseg.data.batches import Stream
from udaseg.data.sampling import Shares
from udaseg.errors import UdasegError
from udaseg.inference.last_models import LAST_MODELS
from udaseg.models import Network, build, checkpoint, devices, set_bn_mode
from udaseg.models.encoders import require_batch_norm
from udaseg.train.domains import Autocast
from udaseg.train.parameter_groups import head_groups, parameter_groups

# Options of torch.compile.
COMPILER: dict[str, dict[str, Any]] = {"kernels": {}, "graphs": {"mode": "reduce-overhead"}}


class TrainingResult(NamedTuple):
    """The environment of a training, for the manifest, and its warnings, for the user."""

    environment: dict[str, Any]
    warnings: list[str]


def network(
    settings: Model,
    training: Training,
    classes: Sequence[str],
    seed: int,
    device: torch.device,
    warn: Callable[[str], None],
) -> Network:
    """Build the network of a recipe in training mode, with the weights that the recipe names.

    The seed determines all other weights. `warn` gets a message for weights that a file lacks or has in excess. Raises
    UdasegError where the network cannot be trained as `training` says.
    """
    torch.manual_seed(seed)
    model = build(settings, classes, warn).to(device, memory_format=devices.layout(device)).train()
    set_bn_mode(model, settings.bn)
    _require_adaptable(model, training)
    if training.activation_checkpointing:
        model.backbone.checkpoint_activations()
    if training.compile != "none":
        model.compile(**COMPILER[training.compile])  # in its place: names in files stay as they are
    return model


def frozen(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a trained network to the device, in evaluation mode and without gradients."""
    return model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def _require_adaptable(model: Network, settings: Training) -> None:
    """Raise UdasegError where a training adapts batch norm, and the encoder has none, or none in its first layers."""
    if settings.adabn:
        require_batch_norm(model.backbone, f"adabn={str(settings.adabn).lower()}")
    if settings.adabn == "stem":
        model.stem()


def optimizer(model: Network, settings: Training) -> Optimizer:
    """Build the optimizer of a network, with the groups of `parameter_groups`."""
    return _optimizer(parameter_groups(model, settings), settings)


def head_optimizer(head: nn.Module, settings: Training) -> Optimizer:
    """Build the optimizer of a head beside the network, with the learning rate of the network's heads."""
    return _optimizer(head_groups(head, settings), settings)


def _optimizer(groups: list[dict[str, Any]], settings: Training) -> Optimizer:
    for group in groups:
        group["initial_lr"] = group["lr"]
    if settings.optimizer == "adamw":
        return AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    return SGD(groups, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True)


def number_format(settings: Training, device: torch.device) -> tuple[Autocast, dict[str, Any]]:
    """Return the autocast context for forward passes, and the environment for the manifest."""
    bf16 = devices.bfloat16(settings.precision, device)
    environment = devices.environment(device, bf16)
    if not bf16:
        return nullcontext, environment
    return lambda: torch.autocast(device.type, torch.bfloat16), environment


def model_keeper(
    settings: Training, out: Path, model: nn.Module, network: Model, classes: Sequence[str]
) -> Callable[[int], None]:
    """Return the function that writes `last/<step>.pt` in `out` at the steps whose models the settings keep."""

    def keep(step: int) -> None:
        if step in settings.kept_steps:
            checkpoint.save(out / LAST_MODELS / f"{step:07d}.pt", model, network, classes)

    return keep


def require_stackable(streams: Sequence[Stream]) -> None:
    """Raise UdasegError where the images of a batch have several sizes, without a size or a crop to change it."""
    for stream in streams:
        if stream.batch == 1 or stream.augment.crop is not None or stream.samples.size is not None:
            continue
        shares = stream.samples.shares or Shares((len(stream.samples),), (1.0,))
        first = [
            start + i for start, length in zip(shares.starts, shares.lengths, strict=True) for i in range(length)[:20]
        ]
        sizes = {stream.samples[index].label.shape for index in first}
        if len(sizes) > 1:
            one = (
                f"one with --set '{stream.domain}.size=[256,512]'"
                if len(shares.lengths) == 1
                else "each source one size"
            )
            raise UdasegError(
                f"the {stream.domain} images have several sizes ({', '.join(map(str, sorted(sizes)[:3]))}, ...)",
                f"give {one}, or a crop, `crop` in `augment` of the stage",
            )


def require_one_size(streams: Sequence[Stream]) -> None:
    """Raise UdasegError where the domains have different sizes: they go through the network in one batch."""
    sizes = {s.domain: s.augment.crop or s.samples.size or s.samples[0].label.shape for s in streams}
    if len({tuple(size) for size in sizes.values()}) > 1:
        found = ", ".join(f"those of the {domain} {height}x{width}" for domain, (height, width) in sizes.items())
        raise UdasegError(
            f"a batch holds images of both domains, which need one size; found {found}",
            "set source.size=[256,512] and target.size=[256,512], or a crop, `crop` in `augment` of the stage",
        )
