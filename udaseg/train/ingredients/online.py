"""Online labels: the target is labelled anew at every step, by the teacher or by the initial model."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from udaseg.config import Online
from udaseg.data.batches import Batch
from udaseg.labels import IGNORE
from udaseg.statistics.prototype_distances import rectified
from udaseg.train.ingredients.step import Step
from udaseg.train.losses import upsample

CONFIDENT = "confident"  # in the log: the share of the pixels labelled online whose label is sure


def label_online(step: Step) -> None:
    """Label the target by the teacher's or the initial model's logits, rectified by prototypes where asked."""
    online, networks = step.settings.online, step.networks
    if online.scores == "teacher":
        logits_NChw = step.teacher_output.logits
    else:
        logits_NChw = networks.run(networks.initial, step.weak_images).logits
    corners = networks.student.align_corners
    if online.rectify:
        logits_NChw = _rectify(logits_NChw, step.distances, step.settings.temperature, corners)
    logits_NCHW = upsample(logits_NChw, step.weak_images.shape[1:3], corners)
    step.batch, share = label_batch(step.batch, logits_NCHW, online)
    step.terms.append(lambda outputs: {CONFIDENT: share})


def label_batch(batch: Batch, logits_NCHW: Tensor, settings: Online) -> tuple[Batch, Tensor]:
    """Label the target of a batch by logits of its size; return the batch and the share of these labels that are sure.

    `settings.pixels` chooses the pixels to label, `settings.confidence` the probability from which a label is sure.
    Labels that are not sure are ignored, or all labels of an image count by its share of sure ones: `target_pixels`,
    float [N, H, W], is the weight of each pixel's loss. Labels from before keep the weight 1.
    """
    confidence_NHW, class_NHW = logits_NCHW.softmax(1).max(1)
    stored_NHW = batch.get("target_label", torch.full_like(class_NHW, IGNORE, dtype=torch.uint8))
    chosen_NHW = batch.get("target_valid", torch.ones_like(stored_NHW, dtype=torch.bool))
    if settings.pixels != "all":
        chosen_NHW = chosen_NHW & ((stored_NHW == IGNORE) == (settings.pixels == "unlabelled"))
    sure_NHW = chosen_NHW & (confidence_NHW >= settings.confidence)
    share_N = sure_NHW.sum((1, 2)) / chosen_NHW.sum((1, 2)).clamp(min=1)
    others_NHW = stored_NHW if settings.pixels == "unlabelled" else torch.full_like(stored_NHW, IGNORE)
    used_NHW = sure_NHW if settings.unsure == "ignore" else chosen_NHW
    label_NHW = torch.where(chosen_NHW, torch.where(used_NHW, class_NHW.to(torch.uint8), IGNORE), others_NHW)
    batch = Batch(batch | {"target_label": label_NHW})
    if settings.unsure == "weigh":
        batch["target_pixels"] = torch.where(chosen_NHW, share_N[:, None, None], 1.0)
    return batch, sure_NHW.sum() / chosen_NHW.sum().clamp(min=1)


def _rectify(logits_NChw: Tensor, distances_NChw: Tensor, temperature: float, align_corners: bool) -> Tensor:
    grid = logits_NChw.shape[2:]
    if distances_NChw.shape[2:] != grid:
        distances_NChw = interpolate(distances_NChw, grid, mode="bilinear", align_corners=align_corners)
    return rectified(logits_NChw, distances_NChw, temperature)
