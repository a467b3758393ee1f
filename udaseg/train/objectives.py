"""What the training stages minimise: functions (step, batch) -> named terms."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from udaseg.config import AdaBN, Model
from udaseg.data.batches import DOMAINS, Batch
from udaseg.models.batchnorm import BatchNorm, by_domain, frozen_statistics
from udaseg.models.devices import layout
from udaseg.models.normalisation import normalise
from udaseg.models.output import Output
from udaseg.parallel import processes
from udaseg.train.loop import Objective
from udaseg.train.losses import at_grid, cross_entropy, robust_entropy, upsampled

Autocast = Callable[[], AbstractContextManager]
# The logits and labels of the target at full size, its images [N, H, W, 3] and what each of its pixels weighs, where
# they do not all weigh the same, to named terms.
TargetTerms = Callable[[Tensor, Tensor, Tensor, Tensor | None], dict[str, Tensor]]


class DomainOutput(NamedTuple):
    """What the network makes of the images of a domain: its output, and its logits at the size of the images."""

    output: Output
    full: Tensor  # logits [N, C, H, W], float32
    valid: Tensor | None = None  # bool [N, H, W], false where there is no image; absent where it is everywhere
    label: Tensor | None = None  # uint8 [N, H, W], of a domain that has labels
    depth: Tensor | None = None  # inverse depth, float32 [N, H, W], 0 where it is not known; where it was asked for
    align_corners: bool = True  # how maps at the stride of the network are brought to full size


# What is asked of the network on both domains without labels, to named terms.
LossTerm = Callable[[dict[str, DomainOutput]], dict[str, Tensor]]
# What a teacher makes of a batch before the student sees it, and what it asks of the student on that batch.
BatchTeacher = Callable[[int, Batch], tuple[Batch, list[LossTerm]]]


def adaptation(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    asked: Sequence[LossTerm],
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
    domain_specific_bn: AdaBN = False,
) -> Objective:
    """Learn the labels of the source, and what is asked of the network on both domains, if anything.

    The logits are divided by the temperature for the cross-entropy, which class_weights, float [C], may weigh. With
    `apart` each domain has batch norm's statistics of its own, and the running ones are the target's: in every layer,
    or in the `stem`.
    """

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        seen = _see(model, settings, autocast, batch, domain_specific_bn)
        terms = _segmentation(model, settings, seen, batch, temperature=temperature, class_weights=class_weights)
        for ask in asked:
            terms |= ask(seen)
        return terms

    return objective


def entropy(weight: float) -> LossTerm:
    """Ask the network to be certain of the target, pixel by pixel at its stride (FDA, section 3.2)."""

    def ask(seen: dict[str, DomainOutput]) -> dict[str, Tensor]:
        logits_NChw = seen["target"].output.logits
        return {"entropy": weight * robust_entropy(logits_NChw, at_grid(seen["target"].valid, logits_NChw.shape[-2:]))}

    return ask


def self_training(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    target_weight: float,
    target_terms: TargetTerms | None = None,
    guide: BatchTeacher | None = None,
    domain_specific_bn: AdaBN = False,
) -> Objective:
    """Learn the labels of the source and the pseudo-labels of the target (CBST, eq. 3).

    `target_terms` may put other terms in the place of the target's cross-entropy; those whose names begin with
    `target` are weighted. A guide may change the target's images and labels, and say with `target_pixels`, float
    [N, H, W], what each pixel's loss counts. `apart` as in `adaptation`.
    """
    assert guide is None or processes.count() == 1, "a guide draws its random values for whole batches"

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        batch, asked = (batch, []) if guide is None else guide(step, batch)
        seen = _see(model, settings, autocast, batch, domain_specific_bn)
        terms = _segmentation(model, settings, seen, batch, target_terms)
        for ask in asked:
            terms |= ask(seen)
        return {name: term * target_weight if name.startswith("target") else term for name, term in terms.items()}

    return objective


def _see(
    model: nn.Module, settings: Model, autocast: Autocast, batch: Batch, domain_specific_bn: AdaBN = False
) -> dict[str, DomainOutput]:
    """Run the network on the domains of a batch: together where their images have one size, unless all is `apart`.

    Together, because batch norm then sees their mixture in training as in its running statistics. Images of two
    sizes go through one domain after the other, as in AdaptSegNet.
    """
    images = {domain: batch[f"{domain}_image"] for domain in DOMAINS if f"{domain}_image" in batch}
    parted = (
        (model.stem() if domain_specific_bn == "stem" else model).modules()
        if domain_specific_bn and len(images) > 1
        else ()
    )
    norms = [module for module in parted if isinstance(module, BatchNorm)]
    with autocast():
        if len({image_NHWC.shape[1:3] for image_NHWC in images.values()}) == 1 and domain_specific_bn is not True:
            counts = [len(image_NHWC) for image_NHWC in images.values()]
            with by_domain(norms, counts):
                whole = model(_input(torch.cat(list(images.values())), settings))
            outputs = whole.split(counts)
        else:
            outputs = []
            for domain, image_NHWC in images.items():
                with frozen_statistics(norms) if domain == "source" else nullcontext():
                    outputs.append(model(_input(image_NHWC, settings)))
    return {
        domain: DomainOutput(
            output,
            upsampled(output.logits, image_NHWC.shape[1:3], model.align_corners),
            *(batch.get(f"{domain}_{part}") for part in ("valid", "label", "depth")),
            model.align_corners,
        )
        for (domain, image_NHWC), output in zip(images.items(), outputs, strict=True)
    }


def _input(image_NHWC: Tensor, settings: Model) -> Tensor:
    """Normalise images, and lay them out in memory as the maps that are made of them will be."""
    return normalise(image_NHWC, settings.color).contiguous(memory_format=layout(image_NHWC.device))


def _segmentation(
    model: nn.Module,
    settings: Model,
    seen: dict[str, DomainOutput],
    batch: Batch,
    target_terms: TargetTerms | None = None,
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Give the cross-entropy of each domain that has labels, that of inner classifiers too."""

    def cooled(logits_NCHW: Tensor) -> Tensor:  # at 1 as they are: a division would copy the largest map there is
        return logits_NCHW if temperature == 1 else logits_NCHW / temperature

    terms = {}
    weight = 1.0 if settings.auxiliary is None else settings.auxiliary
    for domain, (output, full_NCHW, _, label_NHW, *_) in seen.items():
        if label_NHW is None:
            continue
        pixels_NHW = batch.get(f"{domain}_pixels")
        if domain == "target" and target_terms is not None:
            terms |= target_terms(full_NCHW, label_NHW, batch["target_image"], pixels_NHW)
        else:
            terms[domain] = cross_entropy(cooled(full_NCHW), label_NHW, class_weights, pixels_NHW=pixels_NHW)
        for depth, aux_NChw in enumerate(output.aux, 1):
            aux_NCHW = upsampled(aux_NChw, label_NHW.shape[1:], model.align_corners)
            loss = cross_entropy(cooled(aux_NCHW), label_NHW, class_weights, pixels_NHW=pixels_NHW)
            terms[f"{domain}_aux{depth}"] = weight * loss
    return terms
