"""Depth in self-training: two heads learn it, and where they agree the target's labels count more (CorDA, ICCV 2021).

The head `depth` learns the source's images, and the pixels of them that are pasted on the target's. The head
`target_depth` learns the other pixels of the target's images. Where the target has no depth, it learns the pasted
pixels instead: both heads then know the depth of the source, one from its images, the other from what the student sees
of them among the target's.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from udaseg.train.domains import DomainOutput
from udaseg.train.ingredients.step import Step
from udaseg.train.losses import berhu, chosen_mean, upsample

FARTHEST = 1.0  # the inverse depth of what is too far to be measured, such as the sky; CorDA has it for unknown depth
LEAST = 1e-3  # the weight of a label where the heads disagree
AGREEMENT = "agreement"  # in the log: the mean weight before it is divided by itself


class Mixture(NamedTuple):
    """What is known of the depth of the student's target images.

    `depth` is float32 [N, H, W], 0 where unknown, that of the source where `pasted`, bool [N, H, W], is true. Elsewhere
    it is that of the target, if it `has_depth`; a `relative` one is inverse depth up to a factor and a constant.
    """

    depth: Tensor
    pasted: Tensor
    has_depth: bool
    is_relative: bool


def learn_depth(step: Step) -> None:
    """Add the losses on the depth of the source and of the student's target images."""
    losses, mixture = step.settings.depth, find_mixture(step)

    def of_source(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        source_NHW, _ = estimates(outputs["source"])
        known_NHW = outputs["source"].depth
        return {"depth": losses.source * berhu(source_NHW, known_NHW, known_NHW > FARTHEST)}

    def of_target(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        return {"depth_target": losses.target * mixed_loss(*estimates(outputs["target"]), mixture)}

    step.source_terms.append(of_source)
    if step.settings.learns_target_depth:
        step.terms.append(of_target)


def weigh_by_agreement(step: Step) -> None:
    """Weight the loss on each label of the student's target images by the agreement of the two heads there."""
    mixture = find_mixture(step)

    @torch.no_grad()
    def weigh(target: DomainOutput) -> tuple[Tensor, dict[str, Tensor]]:
        source_NHW, target_NHW = estimates(target)
        if mixture.has_depth:
            depth_NHW, known_NHW = compared_depth(source_NHW, mixture)
            depth_NHW = torch.where(known_NHW, depth_NHW, 0)
        else:  # nothing is measured there: the estimates themselves tell the scale
            depth_NHW = torch.where(mixture.pasted, mixture.depth, (source_NHW + target_NHW) / 2)
        score_NHW = agreement(source_NHW, target_NHW, depth_NHW)
        mean = score_NHW.mean() if target.valid is None else chosen_mean(score_NHW, target.valid)
        return score_NHW / mean, {AGREEMENT: mean}

    step.weigh = weigh


def find_mixture(step: Step) -> Mixture:
    """Return what is known of the depth of the target's images, after the source has been pasted on them."""
    batch, kind = step.batch, step.networks.target_depth
    unknown_NHW = torch.zeros(batch["target_image"].shape[:3], device=batch["target_image"].device)
    pasted_NHW = batch.get("target_pasted", torch.zeros_like(unknown_NHW, dtype=torch.bool))
    return Mixture(batch.get("target_depth", unknown_NHW), pasted_NHW, kind is not None, kind == "relative")


def estimates(domain: DomainOutput) -> tuple[Tensor, Tensor]:
    """Return the inverse depth by the heads `depth` and `target_depth`, float32 [N, H, W]; without a second, the first.

    They have the size of the images.
    """
    output, size = domain.output, domain.full.shape[-2:]
    maps = (output.depth, output.depth if output.target_depth is None else output.target_depth)
    first_NHW, second_NHW = (upsample(one, size, domain.align_corners)[:, 0] for one in maps)
    return first_NHW, second_NHW


def mixed_loss(source_NHW: Tensor, target_NHW: Tensor, mixture: Mixture) -> Tensor:
    """Return the reverse Huber loss on the depth of mixed images: that of pasted pixels is of the source's head.

    source, target: the estimates of both heads. Where the target has no depth, pasted pixels are of the target's head.
    """
    depth_NHW, known_NHW = compared_depth(source_NHW.detach(), mixture)
    estimate_NHW = torch.where(mixture.pasted, source_NHW, target_NHW) if mixture.has_depth else target_NHW
    return berhu(estimate_NHW, depth_NHW, known_NHW)


def compared_depth(source_NHW: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Return the inverse depth that estimates are compared to, and where it is known: float32 and bool [N, H, W].

    A relative depth is brought to the scale of the source's head, whose estimates are `source`.
    """
    depth_NHW, pasted_NHW = mixture.depth, mixture.pasted
    known_NHW = depth_NHW > FARTHEST
    if not mixture.is_relative:
        return depth_NHW, known_NHW
    aligned_NHW, is_aligned_NHW = align(depth_NHW, source_NHW, (depth_NHW > 0) & ~pasted_NHW)
    return torch.where(pasted_NHW, depth_NHW, aligned_NHW), torch.where(pasted_NHW, known_NHW, is_aligned_NHW)


def align(relative_NHW: Tensor, scale_NHW: Tensor, valid_NHW: Tensor) -> tuple[Tensor, Tensor]:
    """Bring relative inverse depth to the scale of another map, image by image: float32 [N, H, W], and where it is.

    Both get the same median over the valid pixels, and the same mean absolute deviation from it (MiDaS):
    the result does not change when a map is multiplied by a positive factor or a constant is added. An image whose
    valid pixels have one value has no scale: none of its pixels count.
    """
    aligned, is_aligned = [], []
    for relative_HW, scale_HW, valid_HW in zip(relative_NHW, scale_NHW, valid_NHW, strict=True):
        centred_HW = relative_HW - _median(torch.where(valid_HW, relative_HW, torch.nan))
        centre = _median(torch.where(valid_HW, scale_HW, torch.nan))
        factor = chosen_mean((scale_HW - centre).abs(), valid_HW) / chosen_mean(centred_HW.abs(), valid_HW)
        least = torch.where(valid_HW, relative_HW, torch.inf).amin()
        has_scale = torch.where(valid_HW, relative_HW, -torch.inf).amax() > least  # false without a valid pixel, too
        is_aligned.append(valid_HW & has_scale)
        aligned.append(torch.where(is_aligned[-1], factor * centred_HW + centre, 0))
    return torch.stack(aligned), torch.stack(is_aligned)


def _median(map_HW: Tensor) -> Tensor:
    """Return the lower median of the values that are not NaN. Along a dimension, the host does not wait for a GPU."""
    return map_HW.flatten().nanmedian(0).values


def agreement(source_NHW: Tensor, target_NHW: Tensor, depth_NHW: Tensor) -> Tensor:
    """Return relu(1 - |d_s - d_t| / d) + 0.001, at most 1, of the inverse depths of two heads: float32 [N, H, W].

    depth: d; where it is unknown or too far to be measured, the result is 1 (CorDA).
    """
    known_NHW = depth_NHW > FARTHEST
    error_NHW = (source_NHW - target_NHW).abs() / torch.where(known_NHW, depth_NHW, 1)
    return torch.where(known_NHW, functional.relu(1 - error_NHW) + LEAST, 1).clamp(max=1)
