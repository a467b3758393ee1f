"""Distillation: a fresh student learns the target from the labels of a finished model (ProDA, section 3.4)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from udaseg.config import Distill, Model, Online
from udaseg.data.batches import Stream
from udaseg.data.image_sets import View
from udaseg.data.samples import labelled, unlabelled
from udaseg.models import checkpoint, devices, resolve_color
from udaseg.train import setup
from udaseg.train.domains import DomainOutput, LossTerm
from udaseg.train.ingredients import Networks, batch_teacher
from udaseg.train.ingredients.online import CONFIDENT, label_batch, log_probabilities
from udaseg.train.ingredients.step import Step
from udaseg.train.ingredients.strong import change_colours
from udaseg.train.loop import Trainable, fit
from udaseg.train.losses import kl_consistency
from udaseg.train.objectives import self_training


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
    network = resolve_color(network)
    warnings: list[str] = []
    student = setup.network(network, settings, classes, seed, device, warnings.append)
    teacher_model, meta = checkpoint.load(teacher, map_location="cpu")
    checkpoint.require(meta, classes=classes, source=str(teacher))
    autocast, environment = setup.number_format(settings, device)
    streams = [Stream("target", unlabelled(target), settings.batch, settings.augment)]
    if source is not None:
        streams.insert(0, Stream("source", labelled(source), settings.batch, settings.augment))
    ingredients = [label_by_teacher] if settings.strong is None else [label_by_teacher, change_colours]
    networks = Networks(student, meta["model"]["color"], autocast, teacher=setup.frozen(teacher_model, device))
    setup.require_stackable(streams)
    setup.require_one_size(streams)
    fit(
        {"model": Trainable(student, setup.optimizer(student, settings))},
        self_training(
            student,
            network,
            autocast,
            settings.target_weight,
            teacher=batch_teacher(ingredients, settings, networks, seed),
            domain_specific_bn=settings.domain_specific_bn,
            parts=settings.accumulate,
            seed=seed,
        ),
        streams,
        settings,
        out,
        seed=seed,
        device=device,
        logged_only=(CONFIDENT,),
        keep_model=setup.model_keeper(settings, out, student, network, classes),
        progress=progress,
    )
    checkpoint.save(out / "model.pt", student, network, classes)
    return setup.TrainingResult(environment, warnings)


def label_by_teacher(step: Step) -> None:
    """Label the target where the teacher is sure, and add the loss on its probabilities at every pixel."""
    settings, networks, image_NHWC = step.settings, step.networks, step.weak_images
    teacher = networks.teacher
    mirrored_NChw = networks.run(teacher, image_NHWC.flip(2)).logits if settings.flip else None
    logits_NCHW = log_probabilities(
        step.teacher_output.logits, mirrored_NChw, image_NHWC.shape[1:3], teacher.align_corners
    )
    step.batch, share = label_batch(step.batch, logits_NCHW, Online(confidence=settings.confidence, unsure="ignore"))
    step.terms.append(lambda outputs: {CONFIDENT: share})
    if settings.soft_weight > 0:
        step.terms.append(soft_labels(settings.soft_weight, logits_NCHW))


def soft_labels(weight: float, teacher_NCHW: Tensor) -> LossTerm:
    """Return the divergence KL(teacher || student) of a pixel in nats, from the teacher's logits."""

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        target = outputs["target"]
        return {"soft": weight * kl_consistency(target.full, teacher_NCHW, target.valid)}

    return term
