"""The penalties on unsure predictions of the target: FDA's robust entropy, MinEnt, maximum squares."""

from collections.abc import Callable

import torch
from torch import Tensor

from udaseg.config import Retrain, Warmup
from udaseg.data.batches import Batch
from udaseg.labels import IGNORE
from udaseg.train.adversary import at_inner_classifier
from udaseg.train.domains import DomainOutput, LossTerm
from udaseg.train.loop import Objective
from udaseg.train.losses import mask_at_grid, max_square, mean_entropy, robust_entropy

ENTROPY = "entropy"  # the name of the terms begins so
# From logits and the mask of the pixels that count to a mean.
PENALTIES: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "robust": robust_entropy,
    "plain": mean_entropy,
    "max-square": max_square,
}


def entropy_terms(settings: Warmup | Retrain, align_corners: bool) -> list[LossTerm]:
    """Return the loss terms of the penalty that the settings choose, one for each level; none without a weight."""
    if settings.entropy_weight is None:
        return []
    unlabelled = isinstance(settings, Retrain) and settings.entropy_pixels == "unlabelled"
    terms = [penalise(settings.entropy, settings.entropy_weight, unlabelled)]
    if isinstance(settings, Warmup) and settings.entropy_auxiliary is not None:
        terms.append(at_inner_classifier(penalise(settings.entropy, settings.entropy_auxiliary), align_corners))
    return terms


def penalise(kind: str, weight: float, unlabelled: bool = False) -> LossTerm:
    """Return a penalty on the target's logits, over all pixels or those without a label.

    The robust penalty is at the stride of the network (FDA, section 3.2), the others are at the size of the images
    (ADVENT, MaxSquare).
    """
    penalty = PENALTIES[kind]

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        target = outputs["target"]
        logits_NChw = target.output.logits if kind == "robust" else target.full
        counted_NHW = target.valid
        if unlabelled:
            counted_NHW = target.label == IGNORE
            if target.valid is not None:
                counted_NHW = torch.logical_and(counted_NHW, target.valid)
        return {ENTROPY: weight * penalty(logits_NChw, mask_at_grid(counted_NHW, logits_NChw.shape[-2:]))}

    return term


def delay_entropy(objective: Objective, start: int) -> Objective:
    """Return an objective without its penalty on entropy in the steps before `start` (FDA)."""

    def delayed(step: int, batch: Batch) -> dict[str, Tensor]:
        terms = objective(step, batch)
        return terms if step >= start else {name: terms[name] for name in terms if not name.startswith(ENTROPY)}

    return delayed
