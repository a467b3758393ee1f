"""The training stages: a network, its optimizer, the pictures, the objective, and the model that comes out."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from udaseg.data.loading import Stream, labelled, pseudo_labelled, subset, unlabelled
from udaseg.data.mining import Mining, rare_classes
from udaseg.data.records import ImageSet, LabelledSet
from udaseg.data.transforms import Restyle
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace
from udaseg.models import build, checkpoint, devices, set_bn_mode
from udaseg.recipe import Adversary, HxW, Model, Retrain, Training, Warmup
from udaseg.train import adversary as adversaries
from udaseg.train.loop import Player, fit
from udaseg.train.objectives import Ask, Autocast, adaptation, entropy, self_training
from udaseg.train.regularisers import target_terms

Progress = Callable[[int, int], None]


def warmup(
    source: LabelledSet,
    size: HxW | None,
    model_settings: Model,
    settings: Warmup,
    out: Path,
    *,
    seed: int,
    restyle: Restyle | None = None,
    adversary: Adversary | None = None,
    target: ImageSet | None = None,
    target_size: HxW | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a network on the labelled source and write `model.pt`; return the manifest's environment.

    restyle gives a draw of the source another style. An adversary, and `settings.entropy_weight`, need the target.
    """
    device = devices.choose()
    model = _network(model_settings, len(source.space), seed, device)
    autocast, environment = _number_format(settings, device)
    players = {"model": Player(model, optimizer(model, settings))}
    streams = [Stream("source", labelled(source, size), settings.batch, settings.augment, restyle=restyle)]
    asked: list[Ask] = []
    temperature = 1.0
    if adversary is not None and adversary.align != "none":
        opponent = adversaries.player(adversary, model.feature_channels, len(source.space), device)
        asked.append(adversaries.against(opponent.module, adversary, model.align_corners, autocast))
        players["discriminator"] = opponent
        temperature = adversaries.TEMPERATURE if adversary.align == "fine-grained" else 1.0
    if settings.entropy_weight is not None:
        asked.append(entropy(settings.entropy_weight))
    if asked:
        assert target is not None
        geometry = settings.augment.model_copy(update={"jitter": 0.0, "blur": 0.0})
        streams.append(Stream("target", unlabelled(target, target_size), settings.batch, geometry))
    fit(
        players,
        adaptation(model, model_settings, autocast, asked, temperature),
        [_croppable(stream) for stream in streams],
        settings,
        out,
        seed=seed,
        device=device,
        watched=(adversaries.ACCURACY,),
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
    thresholds: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the source and on the pseudo-labelled target, from the model `initial` or from fresh weights.

    `pseudo_label(stem)` gives uint8 train ids [H, W]; thresholds is the content of their thresholds.json, for mining
    and the regulariser lrent. Writes `model.pt`; returns the manifest's environment.
    """
    device = devices.choose()
    model = _network(model_settings, len(space), seed, device)
    trained = None
    if initial is not None:
        trained, meta = checkpoint.load(initial, map_location="cpu")
        checkpoint.require(meta, classes=space.classes, model=model_settings)
        model.load_state_dict(trained.state_dict())
    autocast, environment = _number_format(settings, device)
    samples, mining = pseudo_labelled(target, pseudo_label, target_size), _mining(settings, thresholds)
    streams = [Stream("target", samples, settings.batch, settings.augment, mining)]
    if source is not None:
        seen = labelled(subset(source, settings.source_fraction, seed), source_size)
        streams.insert(0, Stream("source", seen, settings.batch, settings.augment))
    regularised = target_terms(settings, model_settings, trained, thresholds, autocast, device)
    fit(
        {"model": Player(model, optimizer(model, settings))},
        self_training(model, model_settings, autocast, settings.target_weight, regularised),
        _of_one_size([_croppable(stream) for stream in streams]),
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


def _mining(settings: Retrain, thresholds: dict[str, Any] | None) -> Mining | None:
    if settings.mine == 0:
        return None
    if settings.augment.crop is None:
        raise UdasegError(
            f"mine={settings.mine} places crops on rare classes, and there is no crop",
            "set retrain.augment.crop=[H,W] smaller than the pictures, or retrain.mine=0",
        )
    if thresholds is None:
        raise UdasegError(
            f"mine={settings.mine} needs the pixel counts of the predictions, and there are none",
            "name the thresholds.json of udaseg pseudolabel with --thresholds",
        )
    return Mining(settings.mine, rare_classes(thresholds["predicted"], settings.mine_below))


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


def _of_one_size(streams: list[Stream]) -> list[Stream]:
    """Refuse domains of different sizes: both go through the network in one batch."""
    sizes = {s.domain: s.augment.crop or s.samples.size or s.samples[0].label.shape for s in streams}
    if len({tuple(size) for size in sizes.values()}) > 1:
        found = ", ".join(f"those of the {domain} {height}x{width}" for domain, (height, width) in sizes.items())
        raise UdasegError(
            f"a batch holds pictures of both domains, which need one size; found {found}",
            "set source.size and target.size to the same [H,W], or retrain.augment.crop",
        )
    return streams
