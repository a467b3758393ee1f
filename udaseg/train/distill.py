"""Distillation: a fresh student learns what the finished model says of the target (ProDA, section 3.4)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from udaseg.config import Distill, HxW, Model, Online
from udaseg.data.batches import Batch, Stream, labelled, unlabelled
from udaseg.data.image_sets import ImageSet, LabelledSet
from udaseg.labels import ClassSpace
from udaseg.models import checkpoint, devices
from udaseg.models.normalisation import normalise
from udaseg.train import setup
from udaseg.train.loop import Trainable, fit
from udaseg.train.losses import kl_consistency, upsampled
from udaseg.train.mixing import strong_view
from udaseg.train.objectives import Autocast, BatchTeacher, DomainOutput, LossTerm, self_training
from udaseg.train.teacher import CONFIDENT, relabelled


def distill(
    source: LabelledSet | None,
    source_size: HxW | None,
    target: ImageSet,
    target_size: HxW | None,
    space: ClassSpace,
    finished: Path,
    model_settings: Model,
    settings: Distill,
    out: Path,
    *,
    seed: int,
    pad: tuple[bool, bool] = (False, False),
    progress: Callable[[int, int], None] | None = None,
    note: setup.Note | None = None,
) -> dict[str, Any]:
    """Train a fresh network on the source and on what the finished model says of the target; write `model.pt`.

    The two may be of different architectures. pad keeps the aspect of the images of (source, target). Returns the
    manifest's environment.
    """
    device = devices.choose()
    if settings.weights is not None:
        model_settings = model_settings.model_copy(update={"weights": settings.weights})
    student = setup.network(model_settings, space.classes, seed, device, note)
    teacher, meta = checkpoint.load(finished, map_location="cpu")
    checkpoint.require(meta, classes=space.classes, source=str(finished))
    autocast, environment = setup.number_format(settings, device)
    streams = [Stream("target", unlabelled(target, target_size, pad[1]), settings.batch, settings.augment)]
    if source is not None:
        streams.insert(0, Stream("source", labelled(source, source_size, pad[0]), settings.batch, settings.augment))
    said = batch_teacher(settings, setup.frozen(teacher, device), meta["model"]["color"], autocast, seed)
    fit(
        {"model": Trainable(student, setup.optimizer(student, settings))},
        self_training(
            student,
            model_settings,
            autocast,
            settings.target_weight,
            guide=said,
            domain_specific_bn=settings.domain_specific_bn,
        ),
        setup.of_one_size([setup.croppable(stream) for stream in streams]),
        settings,
        out,
        seed=seed,
        device=device,
        logged_only=(CONFIDENT,),
        progress=progress,
    )
    checkpoint.save(out / "model.pt", student, model_settings, space.classes)
    return environment


def batch_teacher(settings: Distill, teacher: nn.Module, color: str, autocast: Autocast, seed: int) -> BatchTeacher:
    """Label the target by the frozen teacher where it is sure, and ask the student for its probabilities everywhere.

    The teacher sees the target as it comes, the student in a strong view, where the settings have one.
    """
    labels = Online(confidence=settings.confidence, unsure="ignore")

    def guided(step: int, batch: Batch) -> tuple[Batch, list[LossTerm]]:
        image_NHWC = batch["target_image"]
        with torch.no_grad():
            views = [image_NHWC, image_NHWC.flip(2)] if settings.flip else [image_NHWC]
            with autocast():
                said = [teacher(normalise(view_NHWC, color)).logits for view_NHWC in views]
            full = [upsampled(logits_NChw, image_NHWC.shape[1:3], teacher.align_corners) for logits_NChw in said]
            mean_NCHW = full[0].softmax(1)
            if settings.flip:
                mean_NCHW = (mean_NCHW + full[1].flip(3).softmax(1)) / 2
            scores_NCHW = mean_NCHW.clamp(min=torch.finfo(mean_NCHW.dtype).tiny).log()
            batch, share = relabelled(batch, scores_NCHW, labels)
            if settings.strong is not None:
                rng = np.random.default_rng((seed, 5, step))
                batch["target_image"] = strong_view(image_NHWC, settings.strong, rng, batch.get("target_valid"))
        asked: list[LossTerm] = [lambda seen: {CONFIDENT: share}]
        if settings.soft_weight > 0:
            asked.append(_soft(settings.soft_weight, scores_NCHW))
        return batch, asked

    return guided


def _soft(weight: float, scores_NCHW: Tensor) -> LossTerm:
    """Ask the student for the teacher's probabilities: the divergence KL(teacher || student) of a pixel, in nats."""

    def ask(seen: dict[str, DomainOutput]) -> dict[str, Tensor]:
        return {"soft": weight * kl_consistency(seen["target"].full, scores_NCHW, seen["target"].valid)}

    return ask
