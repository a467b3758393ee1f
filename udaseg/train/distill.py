"""Distillation: a fresh student learns what the finished model says of the target (ProDA, section 3.4)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from udaseg.config import Distill, Model, Online
from udaseg.data.batches import Batch, Stream, labelled, unlabelled
from udaseg.data.image_sets import View
from udaseg.models import checkpoint, devices
from udaseg.models.normalisation import normalise
from udaseg.train import setup
from udaseg.train.loop import Trainable, fit
from udaseg.train.losses import kl_consistency, upsampled
from udaseg.train.mixing import strong_view
from udaseg.train.objectives import Autocast, BatchTeacher, DomainOutput, LossTerm, self_training
from udaseg.train.teacher import CONFIDENT, relabelled


def distill(
    source: View | None,
    target: View,
    classes: Sequence[str],
    teacher: Path,
    network: Model,
    settings: Distill,
    out: Path,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> setup.TrainingResult:
    """Train a fresh student on the labelled source and on a teacher's labels of the target; write `model.pt`.

    `teacher` is the model.pt of a finished model, `network` the architecture of the student; the two may differ.
    Raises UdasegError where the teacher has other classes.
    """
    device = devices.choose()
    if settings.weights is not None:
        network = network.model_copy(update={"weights": settings.weights})
    warnings: list[str] = []
    student = setup.network(network, classes, seed, device, warnings.append)
    teacher_model, meta = checkpoint.load(teacher, map_location="cpu")
    checkpoint.require(meta, classes=classes, source=str(teacher))
    autocast, environment = setup.number_format(settings, device)
    streams = [Stream("target", unlabelled(target), settings.batch, settings.augment)]
    if source is not None:
        streams.insert(0, Stream("source", labelled(source), settings.batch, settings.augment))
    labeller = batch_teacher(settings, setup.frozen(teacher_model, device), meta["model"]["color"], autocast, seed)
    fit(
        {"model": Trainable(student, setup.optimizer(student, settings))},
        self_training(
            student,
            network,
            autocast,
            settings.target_weight,
            guide=labeller,
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
    checkpoint.save(out / "model.pt", student, network, classes)
    return setup.TrainingResult(environment, warnings)


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
