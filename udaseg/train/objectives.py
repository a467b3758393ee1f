"""What the training stages minimise: functions (step, batch) -> named terms."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from udaseg.data.loading import Batch
from udaseg.models.preprocess import normalise
from udaseg.recipe import Model
from udaseg.train.loop import Objective
from udaseg.train.losses import cross_entropy, upsampled

Autocast = Callable[[], AbstractContextManager]
# The logits and labels of the target at full size and its pictures [N, H, W, 3], to named terms.
TargetTerms = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]


def supervised(model: nn.Module, settings: Model, autocast: Autocast) -> Objective:
    """Learn the labels of the source."""

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        return _segmentation(model, settings, autocast, batch["source_image"], {"source": batch["source_label"]})

    return objective


def self_training(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    target_weight: float,
    target_terms: TargetTerms | None = None,
) -> Objective:
    """Learn the labels of the source and the pseudo-labels of the target (CBST, eq. 3).

    Both domains go through the network in one batch, so that batch norm sees their mixture in training as in its
    running statistics. `target_terms` may put other terms in the place of the target's cross-entropy; those whose
    names begin with `target` are weighted.
    """

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        domains = [domain for domain in ("source", "target") if f"{domain}_image" in batch]
        image = torch.cat([batch[f"{domain}_image"] for domain in domains])
        labels = {domain: batch[f"{domain}_label"] for domain in domains}
        terms = _segmentation(model, settings, autocast, image, labels, target_terms)
        return {name: term * target_weight if name.startswith("target") else term for name, term in terms.items()}

    return objective


def _segmentation(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    image_NHWC: Tensor,
    labels: dict[str, Tensor],
    target_terms: TargetTerms | None = None,
) -> dict[str, Tensor]:
    """Give the cross-entropy of each domain, in the order in which its pictures stand in the batch."""
    with autocast():
        output = model(normalise(image_NHWC, settings.color))
    terms = {}
    for depth, logits_NCHW in enumerate((output.logits, *output.aux)):
        parts = logits_NCHW.float().split([len(label_NHW) for label_NHW in labels.values()])
        for (domain, label_NHW), part_NCHW in zip(labels.items(), parts, strict=True):
            full_NCHW = upsampled(part_NCHW, label_NHW.shape[1:], model.align_corners)
            if domain == "target" and depth == 0 and target_terms is not None:
                terms |= target_terms(full_NCHW, label_NHW, image_NHWC[-len(label_NHW) :])
            else:
                terms[domain if depth == 0 else f"{domain}_aux{depth}"] = cross_entropy(full_NCHW, label_NHW)
    return terms
