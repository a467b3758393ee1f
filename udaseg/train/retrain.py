"""Retraining: learn the source's labels and the target's pseudo-labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.data.loading import Stream, labelled, pseudo_labelled, subset
from udaseg.data.mining import Mining, rare_classes
from udaseg.data.records import ImageSet, LabelledSet
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace
from udaseg.models import checkpoint, devices
from udaseg.recipe import HxW, Model, Retrain
from udaseg.train import setup
from udaseg.train.loop import Player, fit
from udaseg.train.objectives import self_training
from udaseg.train.regularisers import target_terms


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
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train on the source and on the pseudo-labelled target, from the model `initial` or from fresh weights.

    `pseudo_label(stem)` gives uint8 train ids [H, W]; thresholds is the content of their thresholds.json, for mining
    and the regulariser lrent. Writes `model.pt`; returns the manifest's environment.
    """
    device = devices.choose()
    model = setup.network(model_settings, len(space), seed, device)
    trained = None
    if initial is not None:
        trained, meta = checkpoint.load(initial, map_location="cpu")
        checkpoint.require(meta, classes=space.classes, model=model_settings)
        model.load_state_dict(trained.state_dict())
    autocast, environment = setup.number_format(settings, device)
    samples, mining = pseudo_labelled(target, pseudo_label, target_size), _mining(settings, thresholds)
    streams = [Stream("target", samples, settings.batch, settings.augment, mining)]
    if source is not None:
        seen = labelled(subset(source, settings.source_fraction, seed), source_size)
        streams.insert(0, Stream("source", seen, settings.batch, settings.augment))
    regularised = target_terms(settings, model_settings, trained, thresholds, autocast, device)
    fit(
        {"model": Player(model, setup.optimizer(model, settings))},
        self_training(model, model_settings, autocast, settings.target_weight, regularised),
        _of_one_size([setup.croppable(stream) for stream in streams]),
        settings,
        out,
        seed=seed,
        device=device,
        progress=progress,
    )
    checkpoint.save(out / "model.pt", model, model_settings, space.classes)
    return environment


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
