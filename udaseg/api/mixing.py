"""Self-training at every step: the teacher, class-mix, and images with hidden blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from udaseg.api.arrays import require_generator, require_shape, require_tensors, to_labels
from udaseg.data.batches import Batch
from udaseg.errors import UdasegError
from udaseg.train.ingredients.classmix import draw_mask, paste
from udaseg.train.ingredients.masked import draw_blocks
from udaseg.train.ingredients.teacher import averaged_copy


class Mixed(NamedTuple):
    """Target images with pasted source pixels, their labels, and which pixels were pasted: bool [N, H, W]."""

    images: Tensor
    labels: Tensor
    pasted: Tensor


def mean_teacher(student: nn.Module, momentum: float = 0.999) -> AveragedModel:
    """Copy a network to a teacher; each `teacher.update_parameters(student)` moves it towards the student.

    Update t, from 0, keeps min(1 - 1 / (t + 1), momentum) of it, so the first one copies the student. The statistics of
    batch norm are averaged too. The teacher is in evaluation mode and has no gradient. Raises UdasegError for a
    momentum outside 0 to 1. Source: Tarvainen and Valpola, NeurIPS 2017; DAFormer.
    """
    if not 0 <= momentum <= 1:
        raise UdasegError(f"momentum is {momentum}, expected 0 to 1", "0.999 averages over about 1000 steps")
    return averaged_copy(student, momentum)


def class_mix(
    source_images: Tensor,
    source_labels: Tensor,
    target_images: Tensor,
    target_labels: Tensor,
    rng: np.random.Generator,
) -> Mixed:
    """Paste half of the classes of a source image, with their labels, on each target image.

    images are [N, 3, H, W] of one dtype, normalised or not; labels are ids [N, H, W], 255 for no class. Of
    a source label half of the classes are drawn, rounded up. Target image i takes from source image i, or, with fewer
    source images, from i modulo their number. Raises UdasegError for other shapes and dtypes. Source: Olsson et al.,
    ClassMix, WACV 2021; across domains as in Tranheden et al., DACS, WACV 2021.
    """
    images, labels = (source_images, target_images), (source_labels, target_labels)
    require_generator(rng)
    for domain, own_images, own_labels in zip(("source", "target"), images, labels, strict=True):
        require_tensors(**{f"{domain}_images": own_images, f"{domain}_labels": own_labels})
        require_shape(f"{domain}_images", own_images, "N 3 H W")
        require_shape(f"{domain}_labels", own_labels, " ".join(str(own_images.shape[side]) for side in (0, 2, 3)))
        to_labels(f"{domain}_labels", own_labels)
    target_labels = target_labels.to(source_labels.dtype)  # ids up to 255, which every type of ids has
    labels = source_labels, target_labels
    for name, (own, other) in (("images", images), ("labels", labels)):
        if own.shape[1:] != other.shape[1:] or own.dtype != other.dtype or not len(own):
            raise UdasegError(
                f"source_{name} are {own.dtype} {list(own.shape)}, target_{name} {other.dtype} {list(other.shape)}, "
                "expected one size and one dtype, and a source image",
                "crop both to one size, and convert both to the same dtype",
            )
    mask_NHW = draw_mask(source_labels, len(target_images), rng)
    batch = Batch(source_image=source_images.permute(0, 2, 3, 1), source_label=source_labels)
    batch |= {"target_image": target_images.permute(0, 2, 3, 1), "target_label": target_labels}
    mixed = paste(batch, mask_NHW)
    return Mixed(mixed["target_image"].permute(0, 3, 1, 2).contiguous(), mixed["target_label"], mask_NHW)


def mask_blocks(
    images: Tensor, block: int, ratio: float, rng: np.random.Generator, fill: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Hide blocks of images; return the images, and which pixels are hidden: bool [N, H, W].

    images are [N, 3, H, W]. An image has round(H / block) x round(W / block) blocks of about equal size; each is hidden
    with the probability `ratio`. `fill` is the value of hidden pixels: 0 is the mean colour of normalised images.
    Raises UdasegError for other shapes, a block larger than an image, and a ratio outside 0 to 1. Source: Hoyer et al.,
    MIC, CVPR 2023, with blocks of 64 pixels and the ratio 0.7.
    """
    require_generator(rng)
    require_tensors(images=images)
    require_shape("images", images, "N 3 H W")
    count, _, height, width = images.shape
    if not 1 <= block <= min(height, width):
        raise UdasegError(
            f"block is {block}, expected 1 to {min(height, width)} pixels for images of {height}x{width}",
            f"try block={max(1, min(height, width) // 4)}",
        )
    if not 0 <= ratio <= 1:
        raise UdasegError(f"ratio is {ratio}, expected 0 to 1", "MIC hides a share of 0.7")
    hidden_NHW = torch.from_numpy(draw_blocks((count, height, width), block, ratio, rng)).to(images.device)
    return images.masked_fill(hidden_NHW[:, None], fill), hidden_NHW
