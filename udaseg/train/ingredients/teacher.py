"""The teacher: an average of the student over time (mean teacher: Tarvainen and Valpola, NeurIPS 2017)."""

from contextlib import suppress

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from udaseg.config import Retrain, TeacherNorm
from udaseg.errors import UdasegError
from udaseg.models.batchnorm import BatchNorm, use_batch_statistics
from udaseg.train.ingredients.step import Step

HORIZON = 40  # a published training is so many times as long as the average reaches back (DAFormer)


class Teacher(AveragedModel):
    """An average of a student over time, weights and buffers; the number of its updates stays on the CPU.

    PyTorch sends that number to the device and reads it there: the host would wait for the device in every step.
    """

    def __init__(self, student: nn.Module, momentum: float):
        super().__init__(student, use_buffers=True)
        self._momentum = momentum

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards a model; update t keeps min(1 - 1 / (t + 1), momentum) of it."""
        updates = int(self.n_averaged)
        average = get_ema_multi_avg_fn(min(1 - 1 / (updates + 1), self._momentum))
        groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for mean, value in zip(_tensors(self.module), _tensors(model), strict=True):
            if updates == 0:
                mean.copy_(value)
                continue
            means, values = groups.setdefault(mean.dtype, ([], []))
            means.append(mean)
            values.append(value)
        for means, values in groups.values():
            average(means, values, updates)
        self.n_averaged += 1


def _tensors(network: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]


def averaged_copy(student: nn.Module, momentum: float, norm: TeacherNorm = "average") -> Teacher:
    """Copy the student to a teacher, which each `update_parameters` moves towards the student.

    The teacher keeps min(1 - 1 / (t + 1), momentum) of itself in update t, so the first update, t = 0, copies the
    student (DAFormer). The statistics of batch norm are averaged too. The teacher is in evaluation mode: its labels
    do not depend on dropout. With `norm` batch or stem, batch norm or its first layer uses the statistics of each
    batch instead, which do not change the averaged ones. Raises UdasegError where there is no such layer.
    """
    teacher = Teacher(student, momentum).eval().requires_grad_(False)
    if norm != "average":
        use_batch_statistics(_normalised_part(teacher.module, norm))
    return teacher


def _normalised_part(network: nn.Module, norm: TeacherNorm) -> nn.Module:
    """Return the network, or for `stem` its first layers; raise UdasegError where that has no batch norm."""
    with suppress(UdasegError):
        part = network.stem() if norm == "stem" else network
        if any(isinstance(layer, BatchNorm) for layer in part.modules()):
            return part
    raise UdasegError(
        f"retrain.teacher_norm={norm} changes batch norm, and "
        + ("the first layer of this encoder is another one" if norm == "stem" else "this network has none"),
        "set retrain.teacher_norm=average, or choose an encoder with batch norm",
    )


def update_teacher(step: Step) -> None:
    """Move the teacher towards the student."""
    step.networks.teacher.update_parameters(step.networks.student)


def teacher_warnings(settings: Retrain) -> list[str]:
    """Warn where the average reaches back further than the training is long; name the momentum that would do."""
    momentum, steps = settings.teacher, settings.steps
    if momentum is None or not steps or (1 - momentum) * steps >= 1:
        return []
    reach = "all steps" if momentum == 1 else f"{1 / (1 - momentum):.0f} steps"
    fitting = 1 - float(f"{min(1, HORIZON / steps):.2g}")
    return [
        f"retrain.teacher={momentum:g} averages over {reach}, and the training has {steps}: the teacher is a plain "
        f"mean of all students, the first ones too; retrain.teacher={fitting:.10g} reaches back as far as published "
        f"ones do, for 1 step in {HORIZON}"
    ]
