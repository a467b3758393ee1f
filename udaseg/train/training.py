"""The training stages: a network, its optimizer, the pictures, the objective, and the model that comes out."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from udaseg.data.loading import Stream, labelled, pseudo_labelled
from udaseg.data.records import ImageSet, LabelledSet
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace
from udaseg.models import build, checkpoint, devices, set_bn_mode
from udaseg.recipe import HxW, Model, Retrain, Training, Warmup
from udaseg.train.loop import Player, fit
from udaseg.train.objectives import Autocast, self_training, supervised

Progress = Callable[[int, int], None]


def warmup(
    source: LabelledSet,
    size: HxW | None,
    model_settings: Model,
    settings: Warmup,
    out: Path,
    *,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a network on the labelled source and write `model.pt`; return the manifest's environment."""
    device = devices.choose()
    model = _network(model_settings, len(source.space), seed, device)
    autocast, environment = _number_format(settings, device)
    stream = Stream("source", labelled(source, size), settings.batch, settings.augment)
    fit(
        {"model": Player(model, optimizer(model, settings))},
        supervised(model, model_settings, autocast),
        [_croppable(stream)],
        settings,
        out,
        seed=seed,
        device=device,
        progress=progress,
    )
    checkpoint.save(out / "model.pt", model, model_settings, source.space.classes)
    return environment


def retrain(
    source: LabelledSet | None,
    source_size: HxW | None,
    target: ImageSet,
    pseudo_label: Callable[[str], np.ndarray],
    target_size: HxW | None,
    space: ClassSpace,
    initial: Path | None,
    model_settings: Model,
    settings: Retrain,
    out: Path,
    *,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the source and on the pseudo-labelled target, from the model `initial` or from fresh weights.

    `pseudo_label(stem)` gives uint8 train ids [H, W]. Writes `model.pt`; returns the manifest's environment.
    """
    device = devices.choose()
    model = _network(model_settings, len(space), seed, device)
    if initial is not None:
        trained, meta = checkpoint.load(initial, map_location="cpu")
        checkpoint.require(meta, classes=space.classes, model=model_settings)
        model.load_state_dict(trained.state_dict())
    autocast, environment = _number_format(settings, device)
    streams = [Stream("target", pseudo_labelled(target, pseudo_label, target_size), settings.batch, settings.augment)]
    if source is not None:
        streams.insert(0, Stream("source", labelled(source, source_size), settings.batch, settings.augment))
    fit(
        {"model": Player(model, optimizer(model, settings))},
        self_training(model, model_settings, autocast, settings.target_weight),
        [_croppable(stream) for stream in streams],
        settings,
        out,
        seed=seed,
        device=device,
        progress=progress,
    )
    checkpoint.save(out / "model.pt", model, model_settings, space.classes)
    return environment


def optimizer(model: nn.Module, settings: Training) -> Optimizer:
    """Make the optimizer: the heads learn `head_lr` times as fast as the backbone."""
    groups = [
        {"params": list(model.backbone_parameters()), "lr": settings.lr},
        {"params": list(model.head_parameters()), "lr": settings.lr * settings.head_lr},
    ]
    for group in groups:
        group["initial_lr"] = group["lr"]
    if settings.optimizer == "adamw":
        return AdamW(groups, weight_decay=settings.weight_decay)
    return SGD(groups, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def _network(settings: Model, classes: int, seed: int, device: torch.device) -> nn.Module:
    torch.manual_seed(seed)
    model = build(settings, classes).to(device, memory_format=torch.channels_last).train()
    set_bn_mode(model, settings.bn)
    return model


def _number_format(settings: Training, device: torch.device) -> tuple[Autocast, dict[str, Any]]:
    bf16 = devices.bfloat16(settings.precision, device)
    environment = devices.environment(device, bf16)
    if not bf16:
        return nullcontext, environment
    return lambda: torch.autocast(device.type, torch.bfloat16), environment


def _croppable(stream: Stream) -> Stream:
    """Refuse a batch that cannot be stacked: pictures of several sizes, and no size or crop to bring them to one."""
    if stream.batch > 1 and stream.augment.crop is None:
        if stream.samples.size is None:
            sizes = {stream.samples[index].label.shape for index in range(min(20, len(stream.samples)))}
            if len(sizes) > 1:
                raise UdasegError(
                    f"the {stream.domain} pictures have several sizes ({', '.join(map(str, sorted(sizes)[:3]))}, ...)",
                    f"give one with --set {stream.domain}.size=[H,W], or a crop with augment.crop=[H,W]",
                )
        if stream.augment.scale != (1.0, 1.0):
            raise UdasegError(
                f"augment.scale={list(stream.augment.scale)} gives pictures of several sizes, and a batch needs one",
                "set augment.crop=[H,W] too",
            )
    return stream
