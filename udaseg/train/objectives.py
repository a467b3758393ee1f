"""What the training stages minimise: functions (step, batch) -> named terms."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from udaseg.data.loading import DOMAINS, Batch
from udaseg.models.output import Output
from udaseg.models.preprocess import normalise
from udaseg.recipe import Model
from udaseg.train.loop import Objective
from udaseg.train.losses import cross_entropy, robust_entropy, upsampled

Autocast = Callable[[], AbstractContextManager]
# The logits and labels of the target at full size and its pictures [N, H, W, 3], to named terms.
TargetTerms = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]


class Seen(NamedTuple):
    """What the network makes of the pictures of a domain: its output, and its logits at the size of the pictures."""

    output: Output
    full: Tensor  # logits [N, C, H, W], float32


# What is asked of the network on both domains without labels, to named terms.
Ask = Callable[[dict[str, Seen]], dict[str, Tensor]]


def adaptation(
    model: nn.Module, settings: Model, autocast: Autocast, asked: Sequence[Ask], temperature: float = 1.0
) -> Objective:
    """Learn the labels of the source, and what is asked of the network on both domains, if anything.

    The logits are divided by the temperature for the cross-entropy.
    """

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        seen = _see(model, settings, autocast, batch)
        terms = _segmentation(model, seen, batch, temperature=temperature)
        for ask in asked:
            terms |= ask(seen)
        return terms

    return objective


def entropy(weight: float) -> Ask:
    """Ask the network to be certain of the target, pixel by pixel at its stride (FDA, section 3.2)."""
    return lambda seen: {"entropy": weight * robust_entropy(seen["target"].output.logits)}


def self_training(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    target_weight: float,
    target_terms: TargetTerms | None = None,
) -> Objective:
    """Learn the labels of the source and the pseudo-labels of the target (CBST, eq. 3).

    `target_terms` may put other terms in the place of the target's cross-entropy; those whose names begin with
    `target` are weighted.
    """

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        terms = _segmentation(model, _see(model, settings, autocast, batch), batch, target_terms)
        return {name: term * target_weight if name.startswith("target") else term for name, term in terms.items()}

    return objective


def _see(model: nn.Module, settings: Model, autocast: Autocast, batch: Batch) -> dict[str, Seen]:
    """Run the network on the domains of a batch: together where their pictures have one size.

    Together, because batch norm then sees their mixture in training as in its running statistics. Pictures of two
    sizes go through one domain after the other, as in AdaptSegNet.
    """
    images = {domain: batch[f"{domain}_image"] for domain in DOMAINS if f"{domain}_image" in batch}
    with autocast():
        if len({image_NHWC.shape[1:3] for image_NHWC in images.values()}) == 1:
            whole = model(normalise(torch.cat(list(images.values())), settings.color))
            counts = [len(image_NHWC) for image_NHWC in images.values()]
            parts = [tensor.split(counts) for tensor in (whole.logits, whole.features, *whole.aux)]
            outputs = [Output(logits, features, tuple(aux)) for logits, features, *aux in zip(*parts, strict=True)]
        else:
            outputs = [model(normalise(image_NHWC, settings.color)) for image_NHWC in images.values()]
    return {
        domain: Seen(output, upsampled(output.logits, image_NHWC.shape[1:3], model.align_corners))
        for (domain, image_NHWC), output in zip(images.items(), outputs, strict=True)
    }


def _segmentation(
    model: nn.Module,
    seen: dict[str, Seen],
    batch: Batch,
    target_terms: TargetTerms | None = None,
    temperature: float = 1.0,
) -> dict[str, Tensor]:
    """Give the cross-entropy of each domain that has labels, that of supervision heads too."""
    terms = {}
    for domain, (output, full_NCHW) in seen.items():
        label_NHW = batch.get(f"{domain}_label")
        if label_NHW is None:
            continue
        if domain == "target" and target_terms is not None:
            terms |= target_terms(full_NCHW, label_NHW, batch["target_image"])
        else:
            terms[domain] = cross_entropy(full_NCHW / temperature, label_NHW)
        for depth, aux_NChw in enumerate(output.aux, 1):
            aux_NCHW = upsampled(aux_NChw, label_NHW.shape[1:], model.align_corners)
            terms[f"{domain}_aux{depth}"] = cross_entropy(aux_NCHW / temperature, label_NHW)
    return terms
