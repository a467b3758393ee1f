"""Online labels: the target is labelled anew at every step, by the teacher, the initial model or the student."""

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from udaseg.config import Online
from udaseg.data.batches import Batch
from udaseg.labels import IGNORE
from udaseg.models.batchnorm import labelling
from udaseg.statistics.prototype_distances import rectified
from udaseg.train.ingredients.step import Step
from udaseg.train.losses import upsample

CONFIDENT = "confident"  # in the log: the share of the pixels labelled online whose label is sure


def label_online(step: Step) -> None:
    """Label the target by the logits of a network, rectified by prototypes, or warped from the frame before."""
    online, networks, image_NHWC = step.settings.online, step.networks, step.weak_images
    network = getattr(networks, online.scores)
    is_before = online.frame == "previous"
    if is_before:
        image_NHWC = step.batch.pop("target_before")
    size, corners, mirrored_NChw = image_NHWC.shape[1:3], networks.student.align_corners, None
    with labelling(network) if online.scores == "student" else nullcontext():
        if online.scores == "teacher" and not is_before:
            logits_NChw = step.teacher_output.logits
        else:
            logits_NChw = networks.run(network, image_NHWC).logits
        if online.flip:
            mirrored_NChw = networks.run(network, image_NHWC.flip(2)).logits
    if online.flip or is_before:
        logits_NChw = log_probabilities(logits_NChw, mirrored_NChw, size, corners)
    if online.rectify:
        logits_NChw = _rectify(logits_NChw, step.distances, step.settings.temperature, corners)
    logits_NCHW, seen_NHW = upsample(logits_NChw, size, corners), None
    if is_before:
        logits_NCHW, seen_NHW = follow_flow(logits_NCHW, step.batch.pop("target_flow"))
    step.batch, share = label_batch(step.batch, logits_NCHW, online, seen_NHW)
    step.terms.append(lambda outputs: {CONFIDENT: share})


def follow_flow(logits_NCHW: Tensor, flow_N2HW: Tensor) -> tuple[Tensor, Tensor]:
    """Warp the logarithms of probabilities of the frames before to those of the frames, along the flow between them.

    `flow_N2HW` leads from a pixel into the frame before, in pixels to the right and down, and is NaN where it is not
    valid. Probabilities are interpolated bilinearly. Returns also where there are some, bool [N, H, W]: where the flow
    is valid and leads into the frame before. Source: TPS (ECCV 2022), eq. 4.
    """
    height, width = logits_NCHW.shape[2:]
    flow_N2HW = flow_N2HW.nan_to_num(nan=torch.inf).clamp(-1e6, 1e6)
    x_NHW = flow_N2HW[:, 0] + torch.arange(width, device=flow_N2HW.device)
    y_NHW = flow_N2HW[:, 1] + torch.arange(height, device=flow_N2HW.device)[:, None]
    seen_NHW = (x_NHW >= 0) & (x_NHW <= width - 1) & (y_NHW >= 0) & (y_NHW <= height - 1)
    grid_NHW2 = torch.stack([2 * x_NHW / (width - 1) - 1, 2 * y_NHW / (height - 1) - 1], -1)
    warped_NCHW = grid_sample(logits_NCHW.softmax(1), grid_NHW2, padding_mode="border", align_corners=True)
    return warped_NCHW.clamp(min=torch.finfo(warped_NCHW.dtype).tiny).log(), seen_NHW


def label_batch(
    batch: Batch, logits_NCHW: Tensor, settings: Online, seen_NHW: Tensor | None = None
) -> tuple[Batch, Tensor]:
    """Label the target of a batch by logits of its size; return the batch and the share of these labels that are sure.

    `settings.pixels` chooses the pixels to label, `settings.confidence` the probability from which a label is sure.
    Labels that are not sure are ignored, or all labels of an image count by its share of sure ones: `target_pixels`,
    float [N, H, W], is the weight of each pixel's loss. Labels from before keep the weight 1. Where `target_trusted` is
    false, in the margins, new labels have the weight 0, or are ignored too. Without `seen_NHW` all pixels have logits.
    """
    confidence_NHW, class_NHW = logits_NCHW.softmax(1).max(1)
    stored_NHW = batch.get("target_label", torch.full_like(class_NHW, IGNORE, dtype=torch.uint8))
    chosen_NHW = batch.get("target_valid", torch.ones_like(stored_NHW, dtype=torch.bool))
    if seen_NHW is not None:
        chosen_NHW = chosen_NHW & seen_NHW
    if settings.pixels != "all":
        chosen_NHW = chosen_NHW & ((stored_NHW == IGNORE) == (settings.pixels == "unlabelled"))
    sure_NHW = chosen_NHW & (confidence_NHW >= settings.confidence)
    share_N = sure_NHW.sum((1, 2)) / chosen_NHW.sum((1, 2)).clamp(min=1)
    others_NHW = stored_NHW if settings.pixels == "unlabelled" else torch.full_like(stored_NHW, IGNORE)
    trusted_NHW = batch.get("target_trusted", torch.ones_like(chosen_NHW))
    used_NHW = sure_NHW & trusted_NHW if settings.unsure == "ignore" else chosen_NHW
    label_NHW = torch.where(chosen_NHW, torch.where(used_NHW, class_NHW.to(torch.uint8), IGNORE), others_NHW)
    batch = Batch(batch | {"target_label": label_NHW})
    if settings.unsure == "weigh":
        batch["target_pixels"] = torch.where(chosen_NHW, share_N[:, None, None] * trusted_NHW, 1.0)
    return batch, sure_NHW.sum() / chosen_NHW.sum().clamp(min=1)


def log_probabilities(
    logits_NChw: Tensor, mirrored_NChw: Tensor | None, size: tuple[int, ...], align_corners: bool
) -> Tensor:
    """Return the logarithm of the probabilities at a size (height, width), float32 [N, C, H, W].

    `mirrored_NChw` are the logits of the mirror images, if any; the probabilities are then the mean of both.
    """
    mean_NCHW = upsample(logits_NChw, size, align_corners).softmax(1)
    if mirrored_NChw is not None:
        mean_NCHW = (mean_NCHW + upsample(mirrored_NChw, size, align_corners).softmax(1).flip(3)) / 2
    return mean_NCHW.clamp(min=torch.finfo(mean_NCHW.dtype).tiny).log()


def _rectify(logits_NChw: Tensor, distances_NChw: Tensor, temperature: float, align_corners: bool) -> Tensor:
    grid = logits_NChw.shape[2:]
    if distances_NChw.shape[2:] != grid:
        distances_NChw = interpolate(distances_NChw, grid, mode="bilinear", align_corners=align_corners)
    return rectified(logits_NChw, distances_NChw, temperature)
