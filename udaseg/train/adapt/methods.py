"""The updates of the methods: what each does with a frame after it was labelled."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from udaseg.train.adapt.cotta import move_teacher, restore_randomly, teacher_probabilities
from udaseg.train.adapt.networks import Networks, move_statistics, require_finite
from udaseg.train.adapt.predictions import entropy


class Frame(NamedTuple):
    """A frame to learn from: its index and stem, its windows, [1, 3, H, W] each, and the first model's confidence."""

    index: int
    stem: str
    windows: list[Tensor]
    first_confidence: float


def update_statistics(networks: Networks, frame: Frame) -> None:
    """Move the running statistics towards those of the frame (AdaBN: Li et al., 2016; online: an EMA over frames)."""
    move_statistics(networks, frame.windows)


def minimise_entropy(networks: Networks, frame: Frame) -> None:
    """Move scale and shift of the normalisation layers down the mean entropy (TENT: Wang et al., ICLR 2021)."""
    move_statistics(networks, frame.windows)

    def loss(window_13HW: Tensor) -> Tensor:
        return entropy(networks.runner.forward(window_13HW).logits.softmax(1)).mean()

    _step(networks, frame, loss)


def follow_teacher(networks: Networks, frame: Frame) -> None:
    """Move the student towards the teacher's mean over views, the teacher towards the student (CoTTA, CVPR 2022).

    The views are used where the first model's mean confidence is below the setting; else the teacher's prediction is.
    After that a random share of the student's weights gets its first value again.
    """
    settings, student, runner = networks.settings, networks.student, networks.runner
    assert student is not None
    assert networks.first is not None
    move_statistics(networks, frame.windows)
    rng = torch.Generator().manual_seed((networks.seed * 1_000_003 + frame.index) % 2**63)
    count = settings.views if frame.first_confidence < settings.confidence else 0

    def loss(window_13HW: Tensor) -> Tensor:
        with runner.autocast():
            logits_1Chw = student(window_13HW).logits
        taught_1Chw = teacher_probabilities(runner, window_13HW, count, rng, logits_1Chw.shape[-2:])
        return -(taught_1Chw * log_softmax(logits_1Chw.float(), 1)).sum(1).mean()

    _step(networks, frame, loss)
    move_teacher(runner.model, student, settings.teacher)
    restore_randomly(student, networks.first.model, settings.restore, rng)


def _step(networks: Networks, frame: Frame, loss: Callable[[Tensor], Tensor]) -> None:
    """Make a step down the mean of a loss over the windows of a frame."""
    optimizer = networks.optimizer
    assert optimizer is not None
    optimizer.zero_grad(set_to_none=True)
    for window_13HW in frame.windows:
        value = loss(window_13HW) / len(frame.windows)
        require_finite(value, frame.stem, networks.settings)
        value.backward()
    optimizer.step()


UPDATES: dict[str, Callable[[Networks, Frame], None]] = {
    "statistics": update_statistics,
    "tent": minimise_entropy,
    "cotta": follow_teacher,
}
