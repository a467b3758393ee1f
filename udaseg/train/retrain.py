"""Retraining: learn the source's labels and the target's pseudo-labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from udaseg.config import Model, Predict, Retrain
from udaseg.data.batches import JointStream, Stream
from udaseg.data.image_sets import View
from udaseg.data.rare_classes import RareClasses
from udaseg.data.samples import frames_before, labelled, pseudo_labelled, unlabelled, with_depth
from udaseg.data.sampling import Mining, mine_rare_classes
from udaseg.data.sources import subset
from udaseg.data.style.dataset import random_restyle
from udaseg.data.target_depth import TargetDepth
from udaseg.data.video.flows import Flows
from udaseg.errors import UdasegError
from udaseg.inference.runner import Runner
from udaseg.io.documents.thresholds import Thresholds
from udaseg.models import checkpoint, devices, resolve_color
from udaseg.models.network import Network
from udaseg.parallel import processes
from udaseg.train import setup
from udaseg.train.domains import Autocast
from udaseg.train.entropy import entropy_terms
from udaseg.train.frozen_encoder import FrozenEncoder
from udaseg.train.ingredients import Networks, batch_teacher, choose_ingredients
from udaseg.train.ingredients.depth import AGREEMENT
from udaseg.train.ingredients.feature_distance import DISTANCE, distance_warnings
from udaseg.train.ingredients.foundation import Projection
from udaseg.train.ingredients.online import CONFIDENT
from udaseg.train.ingredients.teacher import averaged_copy, teacher_warnings
from udaseg.train.loop import Trainable, fit
from udaseg.train.moving_prototypes import MovingPrototypes
from udaseg.train.objectives import self_training
from udaseg.train.regularisers import target_terms
from udaseg.train.stage import foundation_hint

SEED_STRIDE = 1_000_003  # between the seeds of two rounds: larger than the seeds that people choose


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """The target's pseudo-labels: `read(stem)` gives uint8 train ids [H, W], 255 ignored.

    `thresholds` is the content of their thresholds.json, which mining and the regulariser lrent need. `stems` are the
    images that have one; without them, all have.
    """

    read: Callable[[str], np.ndarray]
    thresholds: Thresholds | None = None
    stems: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class InitialModel:
    """The model that retraining starts from: a model.pt, how it predicts, and its prototypes.

    `predict` holds the settings that the target was labelled with, `predicted` the target as it was seen then, where
    training sees it otherwise. `centroids` are float32 [C, D], NaN for a class that has none; only settings that move
    prototypes need them.
    """

    path: Path
    predict: Predict | None = None
    predicted: View | None = None
    centroids: np.ndarray | None = None


def retrain(
    source: View | None,
    target: View,
    classes: Sequence[str],
    network: Model,
    settings: Retrain,
    out: Path,
    *,
    seed: int,
    round: int = 1,
    labels: PseudoLabels | None = None,
    initial: InitialModel | None = None,
    rare: RareClasses | None = None,
    flows: Flows | None = None,
    depth: TargetDepth | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> setup.TrainingResult:
    """Train a network on the labelled source and the pseudo-labelled target; write `model.pt` in `out`.

    Training starts from `initial`, or from the weights that `network` names. Without `labels` all labels of the
    target are made online. `settings.steps` is the length, never null. Every round draws other crops and colours in
    another order; the subset of the source only grows from round to round. `rare` draws the images of that subset.
    `flows` lead to the frames before the target's images, which are labelled online; images without one are left out.
    `depth` is that of the target, for settings that learn it.
    Raises UdasegError where the initial model has other classes or another architecture.
    """
    device, seed_of_round = devices.choose(), seed + SEED_STRIDE * (round - 1)
    pretrained = network = resolve_color(network)
    warnings = teacher_warnings(settings)
    start = None
    if initial is not None:
        start = _load_initial(initial, target, classes, network, settings)
        network = network.model_copy(update={"weights": "none"})
    model = setup.network(network, settings, classes, seed, device, warnings.append)
    if start is not None:
        if start.stride_first:
            model.move_strides()
        model.load_state_dict(start.state_dict())
    autocast, environment = setup.number_format(settings, device)
    streams = _streams(source, target, labels, rare, flows, depth, settings, seed)
    thresholds = None if labels is None else labels.thresholds
    extra_state: dict[str, nn.Module] = {}
    if settings.teacher is not None:
        extra_state["teacher"] = averaged_copy(model, settings.teacher, settings.teacher_norm)
    if settings.moves_prototypes:
        centroids_CD = torch.from_numpy(initial.centroids)
        extra_state["prototypes"] = MovingPrototypes(centroids_CD, settings.prototype_momentum).to(device)
    trainables = {"model": Trainable(model, setup.optimizer(model, settings))}
    encoders = _frozen_encoders(settings, pretrained, classes, device, autocast)
    if "foundation" in encoders:
        projection = Projection(model.backbone.channels[-1], encoders["foundation"].channels).to(device)
        encoders["projection"] = projection
        trainables["projection"] = Trainable(projection, setup.head_optimizer(projection, settings))
    losses = target_terms(settings, network, start, thresholds, autocast, device)
    if start is not None and settings.online is not None and settings.online.scores == "initial":
        start = setup.frozen(start, device)
    teacher = None
    if ingredients := choose_ingredients(settings):
        assert settings.needs_whole_batches, "needs_whole_batches lacks an ingredient"
        kind = None if depth is None else depth.kind
        networks = Networks(model, network.color, autocast, initial=start, target_depth=kind, **extra_state, **encoders)
        teacher = batch_teacher(ingredients, settings, networks, seed_of_round)
    result = extra_state["teacher"].module if settings.keep == "teacher" else model
    setup.require_stackable(streams)
    setup.require_one_size(streams)
    fit(
        trainables,
        self_training(
            model,
            network,
            autocast,
            settings.target_weight,
            losses,
            teacher,
            settings.domain_specific_bn,
            settings.accumulate,
            entropy_terms(settings, model.align_corners),
            joint=settings.draw == "joint",
            separate=settings.passes == "separate",
            seed=seed_of_round,
        ),
        [JointStream(tuple(streams), settings.batch)] if settings.draw == "joint" else streams,
        settings,
        out,
        seed=seed_of_round,
        device=device,
        extra_state=extra_state,
        logged_only=(CONFIDENT, DISTANCE, AGREEMENT),
        keep_model=setup.model_keeper(settings, out, result, network, classes),
        progress=progress,
    )
    if settings.keep == "teacher":
        extra_state["teacher"].update_parameters(model)  # after the last step too
    if processes.is_first():
        checkpoint.save(out / "model.pt", result, network, classes)
        if settings.feature_distance is not None:
            warnings += distance_warnings(out / "log.jsonl")
    return setup.TrainingResult(environment, warnings)


def _load_initial(
    initial: InitialModel, target: View, classes: Sequence[str], network: Model, settings: Retrain
) -> Network:
    """Load the initial model, with batch norm's statistics of the target where it labelled the target with them."""
    model, meta = checkpoint.load(initial.path, map_location="cpu")
    checkpoint.require(meta, classes=classes, model=network)
    predict = initial.predict
    if settings.uses_initial_model and predict is not None and predict.adabn:
        runner = Runner(initial.path, None, predict.precision)
        images, is_stem = initial.predicted or target, predict.adabn == "stem"
        runner.adapt_statistics(images, predict.batch, stem=is_stem, windows=predict)
        # Without the heads that only training has: those stay as they are.
        model.load_state_dict(runner.model.cpu().state_dict(), strict=False)
    return model


def _frozen_encoders(
    settings: Retrain, pretrained: Model, classes: Sequence[str], device: torch.device, autocast: Autocast
) -> dict[str, Any]:
    """Build the encoders that features stay near; return them, and the classes of things, as `Networks` names them.

    `pretrained` is the network of the recipe with its weights.
    """
    encoders: dict[str, Any] = {}
    if settings.feature_distance is not None:
        things = settings.feature_distance.choose(classes)
        assert things, "config.rules refuses a distance without classes"
        encoders["things"] = tuple(index for index, name in enumerate(classes) if name in things)
        encoders["pretrained"] = FrozenEncoder(pretrained, classes, device, autocast)
    if settings.foundation is not None:
        foundation = settings.foundation
        with foundation_hint():
            encoders["foundation"] = FrozenEncoder(foundation.network, classes, device, autocast, foundation.side)
    return encoders


def _streams(
    source: View | None,
    target: View,
    labels: PseudoLabels | None,
    rare: RareClasses | None,
    flows: Flows | None,
    depth: TargetDepth | None,
    settings: Retrain,
    seed: int,
) -> list[Stream]:
    before = mining = None
    if flows is not None:
        images, before = frames_before(target.images, flows)
        target = replace(target, images=images)
    read_depth = None if depth is None else depth.read
    samples = unlabelled(target, before, read_depth)
    if labels is not None:
        if labels.stems is not None:
            target = replace(target, images=target.images.choose(labels.stems))
            if before is not None and not len(target.images):
                raise UdasegError(
                    "no image has both a pseudo-label and a frame before it",
                    "label the frames that have one before them, or set retrain.online.frame=same",
                )
        samples = pseudo_labelled(target, labels.read, before, read_depth)
        mining = _build_mining(settings, labels.thresholds)
    aligned, online = settings.aligned_crops, settings.online
    margins = online.margins if online is not None and online.has_margins else None
    streams = [Stream("target", samples, settings.batch, settings.augment, mining, aligned=aligned, margins=margins)]
    if source is not None:
        part = replace(source, images=subset(source.images, settings.source_fraction, seed))
        restyle = None if settings.fda is None else random_restyle(target.images, settings.fda)
        samples = labelled(part) if settings.depth is None else with_depth(part)
        own = Stream(
            "source", samples, settings.batch, settings.augment, restyle=restyle, rare=rare, aligned=aligned,
            tells_classes=settings.classmix,
        )  # fmt: skip
        streams.insert(0, own)
    return streams


def _build_mining(settings: Retrain, thresholds: Thresholds | None) -> Mining | None:
    if settings.mine == 0:
        return None
    if thresholds is None:
        raise UdasegError(
            f"mine={settings.mine} needs the pixel counts of the predictions, and there are none",
            "name the thresholds.json of `udaseg pseudolabel` with --thresholds",
        )
    return mine_rare_classes(settings.mine, thresholds.predicted, settings.mine_below)
