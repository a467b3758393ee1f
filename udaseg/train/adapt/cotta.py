"""The parts of CoTTA: the teacher's mean over views, the slow teacher, and weights that return (CVPR 2022)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from udaseg.inference.runner import Runner

SCALES = (0.5, 2.0)  # of a view, relative to the frame: the ends of the authors' seven for segmentation
SMALLEST = 32  # pixels of a side that networks need


@torch.no_grad()
def teacher_probabilities(
    runner: Runner, image_N3HW: Tensor, views: int, rng: torch.Generator, grid: torch.Size
) -> Tensor:
    """Return the mean of the teacher's probabilities over random views, float32 [N, C, h, w] on the network's grid.

    A view has a random scale and is mirrored in half of the cases. Without views it is the prediction of the image.
    `grid` is (h, w), that of the network's output for the image.
    """
    if not views:
        return runner.forward(image_N3HW).logits.softmax(1)
    corners, total_NChw = runner.model.align_corners, torch.zeros((), device=image_N3HW.device)
    for _ in range(views):
        scale, coin = torch.rand(2, generator=rng).tolist()
        factor = SCALES[0] + scale * (SCALES[1] - SCALES[0])
        size = [max(SMALLEST, round(side * factor)) for side in image_N3HW.shape[-2:]]
        view_N3HW = interpolate(image_N3HW, size, mode="bilinear", antialias=True)
        is_mirrored = coin < 0.5
        logits_NChw = runner.forward(view_N3HW.flip(-1) if is_mirrored else view_N3HW).logits
        probabilities_NChw = (logits_NChw.flip(-1) if is_mirrored else logits_NChw).softmax(1)
        total_NChw = total_NChw + interpolate(probabilities_NChw, grid, mode="bilinear", align_corners=corners)
    return total_NChw / views


@torch.no_grad()
def move_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the weights of the teacher towards the student's: momentum * teacher + (1 - momentum) * student."""
    for mean, value in zip(teacher.parameters(), student.parameters(), strict=True):
        mean.lerp_(value, 1 - momentum)


@torch.no_grad()
def restore_randomly(network: nn.Module, first: nn.Module, probability: float, rng: torch.Generator) -> None:
    """Give each element of the weights its first value with a probability.

    At 0.01 half of the elements have been restored after 69 calls.
    """
    if not probability:
        return
    for value, original in zip(network.parameters(), first.parameters(), strict=True):
        is_restored = torch.rand(value.shape, generator=rng) < probability
        value.copy_(torch.where(is_restored.to(value.device), original, value))
