"""The loss on the target's pseudo-labels, and the confidence regularisers beside it (CRST)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from udaseg.config import Model, Retrain
from udaseg.errors import UdasegError
from udaseg.io.documents.thresholds import Thresholds
from udaseg.models.colors import normalise
from udaseg.train.domains import Autocast
from udaseg.train.losses import (
    LabelLosses,
    cross_entropy,
    lrent,
    mrent,
    mrkld,
    mrl2,
    soften_labels,
    symmetric_cross_entropy,
    upsample,
)
from udaseg.train.setup import frozen

WEIGHTS = {"mrkld": 0.01, "mrent": 0.01, "lrent": 0.25}
LOSSES = {"cross-entropy": cross_entropy, "symmetric": symmetric_cross_entropy}
_PENALTIES = {"mrkld": mrkld, "mrent": mrent, "mrl2": mrl2}


def target_terms(
    settings: Retrain,
    model: Model,
    labeller: nn.Module | None,
    thresholds: Thresholds | None,
    autocast: Autocast,
    device: torch.device,
) -> LabelLosses | None:
    """Return the loss on the target's labels with the regulariser; None for plain cross-entropy.

    The regulariser lrent needs two inputs: `labeller`, the initial model, which made the pseudo-labels, and the content
    of their thresholds.json. Raises UdasegError where the thresholds are missing or are no probabilities.
    """
    loss = LOSSES[settings.loss]
    if settings.regulariser == "none":
        if loss is cross_entropy:
            return None
        return lambda logits_NCHW, labels_NHW, image_NHWC, pixels_NHW=None: {
            "target": loss(logits_NCHW, labels_NHW, pixels_NHW=pixels_NHW)
        }
    weight = settings.effective_weight or WEIGHTS[settings.regulariser]
    if settings.regulariser == "lrent":
        return _soft_label_loss(model, labeller, _require_lambdas(thresholds), weight, autocast, device)
    penalty, name = _PENALTIES[settings.regulariser], settings.regulariser

    def terms(
        logits_NCHW: Tensor, labels_NHW: Tensor, image_NHWC: Tensor, pixels_NHW: Tensor | None = None
    ) -> dict[str, Tensor]:
        target = loss(logits_NCHW, labels_NHW, pixels_NHW=pixels_NHW)
        return {"target": target, name: weight * penalty(logits_NCHW, labels_NHW)}

    return terms


def _require_lambdas(thresholds: Thresholds | None) -> Sequence[float]:
    if thresholds is None:
        raise UdasegError(
            "regulariser lrent needs the thresholds of the pseudo-labels, and there are none",
            "name the thresholds.json of `udaseg pseudolabel` with --thresholds",
        )
    if thresholds.policy not in ("st", "cbst", "percentile"):
        raise UdasegError(
            f"regulariser lrent needs thresholds of the probabilities, those of policy {thresholds.policy} are not",
            "make the pseudo-labels with --policy cbst, or choose the regulariser mrkld",
        )
    return thresholds.threshold


def _soft_label_loss(
    settings: Model,
    labeller: nn.Module | None,
    lambdas: Sequence[float],
    alpha: float,
    autocast: Autocast,
    device: torch.device,
) -> LabelLosses:
    """Return the loss on soft labels, made from the labeller's probabilities on the crops of the batch (CRST).

    It counts the pixels that have a pseudo-label. CRST counts those where sum_c (p_c / lambda_c)^(1 / alpha) is above
    1. These are hardly more, but they would include pixels that refinement has removed.
    """
    assert labeller is not None
    labeller = frozen(labeller, device)
    lambdas_C = torch.tensor(lambdas, dtype=torch.float32, device=device)

    def terms(
        logits_NCHW: Tensor, labels_NHW: Tensor, image_NHWC: Tensor, pixels_NHW: Tensor | None = None
    ) -> dict[str, Tensor]:
        with torch.no_grad(), autocast():
            labeller_NChw = labeller(normalise(image_NHWC, settings.color)).logits
        with torch.no_grad():
            labeller_NCHW = upsample(labeller_NChw, tuple(labels_NHW.shape[1:]), labeller.align_corners)
            soft_NCHW = soften_labels(labeller_NCHW, lambdas_C, alpha)
        return {"target": lrent(logits_NCHW, soft_NCHW, labels_NHW)}

    return terms
