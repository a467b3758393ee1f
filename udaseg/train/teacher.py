"""The teacher: an average of the student over time, which labels the target while the student learns (mean teacher)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from udaseg.config import Online, Retrain
from udaseg.data.batches import Batch
from udaseg.labels import IGNORE
from udaseg.models.normalisation import normalise
from udaseg.models.output import Output
from udaseg.statistics.prototypes import distances, rectified
from udaseg.train.losses import at_grid, upsampled
from udaseg.train.mixing import mixed, pasted, strong_view
from udaseg.train.objectives import Autocast, BatchTeacher, LossTerm
from udaseg.train.prototypes import MovingPrototypes, consistency

CONFIDENT = "confident"  # in the log: the share of the pixels labelled online of which the label is sure


def average(student: nn.Module, momentum: float) -> AveragedModel:
    """Copy the student; each `update_parameters` moves the copy towards it.

    The average keeps min(1 - 1 / (t + 1), momentum) of itself, so that the first update, t = 0, is a copy (DAFormer).
    The statistics of batch norm are averaged too, and the copy is in evaluation mode: dropout and the statistics of
    one batch have no place in what a teacher says.
    """

    def follow(means: Sequence[Tensor], now: Sequence[Tensor], updates: Tensor | int) -> None:
        get_ema_multi_avg_fn(min(1 - 1 / (int(updates) + 1), momentum))(means, now, updates)

    return AveragedModel(student, multi_avg_fn=follow, use_buffers=True).eval().requires_grad_(False)


def batch_teacher(
    settings: Retrain,
    student: nn.Module,
    color: str,
    autocast: Autocast,
    seed: int,
    *,
    teacher: AveragedModel | None = None,
    initial: nn.Module | None = None,
    prototypes: MovingPrototypes | None = None,
) -> BatchTeacher:
    """Let the teacher follow the student, and make of each batch what the student is to learn from.

    The target is labelled online, source classes are pasted on it and its colours are changed, as the settings say;
    the teacher and the model that training started from, `initial`, see it before. Random values depend on the seed
    and the step alone.
    """

    def ask(network: nn.Module, batch: Batch) -> Output:
        with autocast():
            said = network(normalise(batch["target_image"], color))
        return Output(said.logits.float(), said.features.float())

    def guided(step: int, batch: Batch) -> tuple[Batch, list[LossTerm]]:
        rng = np.random.default_rng((seed, 5, step))
        batch, asked = Batch(batch), []
        centroids_CD = near_NChw = said = None
        clear_NHW = batch.get("target_valid")  # where both views will show the same
        with torch.no_grad():
            if teacher is not None:
                teacher.update_parameters(student)
            if prototypes is not None or (settings.online is not None and settings.online.scores == "teacher"):
                said = ask(teacher.module, batch)
            if prototypes is not None:
                centroids_CD = prototypes.centroids.clone()
                near_NChw = distances(said.features, centroids_CD)
                prototypes.move(said.features, _decided(said, batch.get("target_valid")))
            if settings.online is not None:
                if settings.online.scores == "initial":
                    said = ask(initial, batch)
                scores_NChw = said.logits
                if settings.online.rectify:
                    scores_NChw = _rectified(scores_NChw, near_NChw, settings.temperature, student.align_corners)
                full_NCHW = upsampled(scores_NChw, batch["target_image"].shape[1:3], student.align_corners)
                batch, share = relabelled(batch, full_NCHW, settings.online)
                asked.append(lambda seen: {CONFIDENT: share})
            if settings.classmix:
                mask_NHW = pasted(batch["source_label"], len(batch["target_image"]), rng)
                clear_NHW = ~mask_NHW if clear_NHW is None else clear_NHW & ~mask_NHW
                batch = mixed(batch, mask_NHW)
            if settings.strong is not None:
                batch["target_image"] = strong_view(
                    batch["target_image"], settings.strong, rng, batch.get("target_valid")
                )
        if settings.consistency is not None:
            asked.append(consistency(settings.consistency, settings.temperature, centroids_CD, near_NChw, clear_NHW))
        return batch, asked

    return guided


def relabelled(batch: Batch, logits_NCHW: Tensor, settings: Online) -> tuple[Batch, Tensor]:
    """Label the target by scores at its full size, and return the share of these labels that are sure.

    Which pixels, and what becomes of those that are not sure, is in the settings. An image is weighed, in
    `target_pixels`, by the share of its own that are sure; labels that were there before count whole.
    """
    confidence_NHW, winner_NHW = logits_NCHW.softmax(1).max(1)
    stored_NHW = batch.get("target_label", torch.full_like(winner_NHW, IGNORE, dtype=torch.uint8))
    chosen_NHW = batch.get("target_valid", torch.ones_like(stored_NHW, dtype=torch.bool))
    if settings.pixels != "all":
        chosen_NHW = chosen_NHW & ((stored_NHW == IGNORE) == (settings.pixels == "unlabelled"))
    sure_NHW = chosen_NHW & (confidence_NHW >= settings.confidence)
    share_N = sure_NHW.sum((1, 2)) / chosen_NHW.sum((1, 2)).clamp(min=1)
    others_NHW = stored_NHW if settings.pixels == "unlabelled" else torch.full_like(stored_NHW, IGNORE)
    used_NHW = sure_NHW if settings.unsure == "ignore" else chosen_NHW
    label_NHW = torch.where(chosen_NHW, torch.where(used_NHW, winner_NHW.to(torch.uint8), IGNORE), others_NHW)
    batch = Batch(batch | {"target_label": label_NHW})
    if settings.unsure == "weigh":
        batch["target_pixels"] = torch.where(chosen_NHW, share_N[:, None, None], 1.0)
    return batch, sure_NHW.sum() / chosen_NHW.sum().clamp(min=1)


def _rectified(logits_NChw: Tensor, near_NChw: Tensor, temperature: float, align_corners: bool) -> Tensor:
    if near_NChw.shape[2:] != logits_NChw.shape[2:]:
        near_NChw = interpolate(near_NChw, logits_NChw.shape[2:], mode="bilinear", align_corners=align_corners)
    return rectified(logits_NChw, near_NChw, temperature)


def _decided(said: Output, valid_NHW: Tensor | None) -> Tensor:
    """Give the class of every feature by the logits, int64 [N, h, w], 255 outside of the image."""
    decided_NChw = said.logits.argmax(1, keepdim=True)
    if decided_NChw.shape[2:] != said.features.shape[2:]:
        decided_NChw = interpolate(decided_NChw.float(), said.features.shape[2:], mode="nearest").long()
    where_Nhw = at_grid(valid_NHW, said.features.shape[2:])
    return decided_NChw[:, 0] if where_Nhw is None else torch.where(where_Nhw, decided_NChw[:, 0], IGNORE)
