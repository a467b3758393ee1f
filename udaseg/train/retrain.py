"""Retraining: learn the source's labels and the target's pseudo-labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from udaseg.config import HxW, Model, Predict, Retrain
from udaseg.config.training_rules import needs_whole_batches, require, uses_initial_model
from udaseg.data.batches import Stream, labelled, pseudo_labelled, subset, unlabelled
from udaseg.data.image_sets import ImageSet, LabelledSet
from udaseg.data.mining import Mining, mining
from udaseg.errors import UdasegError
from udaseg.inference.runner import Runner
from udaseg.labels import ClassSpace
from udaseg.models import checkpoint, devices
from udaseg.models.network import Network
from udaseg.parallel import processes
from udaseg.train import setup
from udaseg.train import teacher as teachers
from udaseg.train.loop import Trainable, fit
from udaseg.train.objectives import self_training
from udaseg.train.prototypes import MovingPrototypes
from udaseg.train.regularisers import target_terms

ROUNDS_APART = 1_000_003  # between the seeds of two rounds: no seed that anybody gives is another's second round


def retrain(
    source: LabelledSet | None,
    source_size: HxW | None,
    target: ImageSet,
    pseudo_label: Callable[[str], np.ndarray] | None,
    target_size: HxW | None,
    space: ClassSpace,
    initial: Path | None,
    model_settings: Model,
    settings: Retrain,
    out: Path,
    *,
    seed: int,
    round: int = 1,
    asked: Predict | None = None,
    thresholds: dict[str, Any] | None = None,
    centroids: np.ndarray | None = None,
    pad: tuple[bool, bool] = (False, False),
    progress: Callable[[int, int], None] | None = None,
    note: setup.Note | None = None,
) -> dict[str, Any]:
    """Train on the source and on the pseudo-labelled target, from the model `initial` or from fresh weights.

    `pseudo_label(stem)` gives uint8 train ids [H, W]; asked says how `initial` was asked for them: where it is asked
    again while another learns, it is with the same statistics of batch norm; thresholds is the content of their
    thresholds.json, for mining and the regulariser lrent; centroids, float32 [C, D], are the prototypes of `initial`,
    for settings that move them; pad keeps the aspect of the images of (source, target). Each round draws other crops
    and colours, in another order, from a subset of the source that only grows. Writes `model.pt`; returns the
    manifest's environment.
    """
    require(settings)
    device, drawn = devices.choose(), seed + ROUNDS_APART * (round - 1)
    trained = None
    if initial is not None:
        trained, meta = checkpoint.load(initial, map_location="cpu")
        checkpoint.require(meta, classes=space.classes, model=model_settings)
        if uses_initial_model(settings) and asked is not None and asked.adabn:
            # It is asked without the heads that only training has: those stay as they are.
            said_by = _as_asked(initial, target, target_size, asked, pad[1])
            trained.load_state_dict(said_by.state_dict(), strict=False)
        model_settings = model_settings.model_copy(update={"weights": "none"})
    model = setup.network(model_settings, space.classes, seed, device, note)
    if trained is not None:
        if trained.stride_first:
            model.move_strides()
        model.load_state_dict(trained.state_dict())
    autocast, environment = setup.number_format(settings, device)
    samples = unlabelled(target, target_size, pad[1])
    if pseudo_label is not None:
        samples = pseudo_labelled(target, pseudo_label, target_size, pad[1])
    streams = [Stream("target", samples, settings.batch, settings.augment, _mining(settings, thresholds))]
    if source is not None:
        seen = labelled(subset(source, settings.source_fraction, seed), source_size, pad[0])
        streams.insert(0, Stream("source", seen, settings.batch, settings.augment))
    regularised = target_terms(settings, model_settings, trained, thresholds, autocast, device)
    extra_state: dict[str, nn.Module] = {}
    if settings.teacher is not None:
        extra_state["teacher"] = teachers.average(model, settings.teacher)
    if settings.moves_prototypes:
        assert centroids is not None
        moving = MovingPrototypes(torch.from_numpy(centroids), settings.prototype_momentum)
        extra_state["prototypes"] = moving.to(device)
    if trained is not None and settings.online is not None and settings.online.scores == "initial":
        trained = setup.frozen(trained, device)
    guide = None
    if needs_whole_batches(settings):
        guide = teachers.batch_teacher(
            settings, model, model_settings.color, autocast, drawn, initial=trained, **extra_state
        )
    fit(
        {"model": Trainable(model, setup.optimizer(model, settings))},
        self_training(
            model, model_settings, autocast, settings.target_weight, regularised, guide, settings.domain_specific_bn
        ),
        setup.of_one_size([setup.croppable(stream) for stream in streams]),
        settings,
        out,
        seed=drawn,
        device=device,
        extra_state=extra_state,
        logged_only=(teachers.CONFIDENT,),
        progress=progress,
    )
    if settings.keep == "teacher":
        extra_state["teacher"].update_parameters(model)  # after the last step too
        model = extra_state["teacher"].module
    if processes.is_first():
        checkpoint.save(out / "model.pt", model, model_settings, space.classes)
    return environment


def _as_asked(initial: Path, target: ImageSet, size: HxW | None, asked: Predict, pad: bool) -> Network:
    """Load the network with batch norm's statistics of the target, as it was when it labelled the target."""
    runner = Runner(initial, None, asked.precision)
    runner.adapt_statistics(target, len(target), size, asked.batch, pad, stem=asked.adabn == "stem")
    return runner.model.cpu()


def _mining(settings: Retrain, thresholds: dict[str, Any] | None) -> Mining | None:
    if settings.mine == 0:
        return None
    if settings.augment.crop is None:
        raise UdasegError(
            f"mine={settings.mine} places crops on rare classes, and there is no crop",
            "set retrain.augment.crop=[H,W] smaller than the images, or retrain.mine=0",
        )
    if thresholds is None:
        raise UdasegError(
            f"mine={settings.mine} needs the pixel counts of the predictions, and there are none",
            "name the thresholds.json of udaseg pseudolabel with --thresholds",
        )
    return mining(settings.mine, thresholds["predicted"], settings.mine_below)
