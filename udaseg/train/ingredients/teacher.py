"""The teacher: an average of the student over time (mean teacher: Tarvainen and Valpola, NeurIPS 2017)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from udaseg.train.ingredients.step import Step


def averaged_copy(student: nn.Module, momentum: float) -> AveragedModel:
    """Copy the student to a teacher, which each `update_parameters` moves towards the student.

    The teacher keeps min(1 - 1 / (t + 1), momentum) of itself in update t, so the first update, t = 0, copies the
    student (DAFormer). The statistics of batch norm are averaged too. The teacher is in evaluation mode: its labels
    depend neither on dropout nor on the other images of a batch.
    """

    def average(means: Sequence[Tensor], values: Sequence[Tensor], updates: Tensor | int) -> None:
        get_ema_multi_avg_fn(min(1 - 1 / (int(updates) + 1), momentum))(means, values, updates)

    return AveragedModel(student, multi_avg_fn=average, use_buffers=True).eval().requires_grad_(False)


def update_teacher(step: Step) -> None:
    """Move the teacher towards the student."""
    step.networks.teacher.update_parameters(step.networks.student)
