"""The objectives of the training stages: functions (step, batch) -> named loss terms, whose sum is minimised."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from udaseg.config import AdaBN, Model
from udaseg.data.batches import DOMAINS, Batch
from udaseg.labels import IGNORE
from udaseg.models.batchnorm import BatchNorm, by_domain, frozen_statistics
from udaseg.models.colors import normalise
from udaseg.models.devices import layout
from udaseg.models.output import Output
from udaseg.parallel import processes
from udaseg.train.loop import Objective
from udaseg.train.losses import cross_entropy, upsample

Autocast = Callable[[], AbstractContextManager]
DomainBN = Literal[AdaBN, "separate"]  # the layers in which batch norm normalises each domain by itself
# From the target's logits at full size, its labels, its images [N, H, W, 3] and the weights of its pixels, if they
# differ, to named loss terms.
TargetTerms = Callable[[Tensor, Tensor, Tensor, Tensor | None], dict[str, Tensor]]


class DomainOutput(NamedTuple):
    """The output of the network for the images of one domain, and what the losses compare it to."""

    output: Output
    full: Tensor  # the logits at the size of the images, float32 [N, C, H, W]
    valid: Tensor | None = None  # bool [N, H, W], false outside the images; None where they fill the batch
    label: Tensor | None = None  # uint8 [N, H, W]; None for a domain without labels
    depth: Tensor | None = None  # inverse depth, float32 [N, H, W], 0 where unknown; None for batches without depth
    align_corners: bool = True  # how maps at the stride of the network are upsampled


# From the output of each domain, by name, to named loss terms.
LossTerm = Callable[[dict[str, DomainOutput]], dict[str, Tensor]]
# From the number of a step and its batch to the batch that the student trains on, and further terms on the target.
BatchTeacher = Callable[[int, Batch], tuple[Batch, list[LossTerm]]]


def adaptation(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    loss_terms: Sequence[LossTerm],
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
    domain_specific_bn: DomainBN = False,
    parts: int = 1,
) -> Objective:
    """Return the objective of the warm-up: the source's cross-entropy and the given terms on both domains.

    The cross-entropy divides the logits by the temperature; class_weights, float [C], weigh it. With
    `domain_specific_bn` batch norm normalises each domain by its own statistics, in every layer or in the stem. The
    running statistics are then the target's, or with "separate" those of both domains in turn. The batch goes through
    the network in `parts` parts.
    """

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        outputs = _run_domains(model, settings, autocast, batch, domain_specific_bn, parts)
        terms = _segmentation(model, settings, outputs, batch, temperature=temperature, class_weights=class_weights)
        for term in loss_terms:
            terms |= term(outputs)
        return terms

    return objective


def self_training(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    target_weight: float,
    target_terms: TargetTerms | None = None,
    teacher: BatchTeacher | None = None,
    domain_specific_bn: DomainBN = False,
    parts: int = 1,
    loss_terms: Sequence[LossTerm] = (),
    joint: bool = False,
) -> Objective:
    """Return the objective of self-training: cross-entropy on the source's labels and on the target's (CBST, eq. 3).

    `target_terms` replaces the target's cross-entropy. Terms whose names begin with `target` are multiplied by
    `target_weight`. `teacher` may change the target of each batch and add terms; `loss_terms` are added too. In the
    batch, `target_pixels`, float [N, H, W], weighs the loss of each pixel. `domain_specific_bn` and `parts` as in
    `adaptation`. With `joint` the losses on labels are one mean over the labelled pixels of both domains: each domain's
    term is its share of it. Domains that go through the network one after the other are two passes; all further terms
    need the target's.
    """
    assert teacher is None or processes.count() == 1, "a batch teacher draws its random values for whole batches"

    def run(batch: Batch, further_terms: Sequence[LossTerm]) -> dict[str, Tensor]:
        outputs = _run_domains(model, settings, autocast, batch, domain_specific_bn, parts)
        terms = _segmentation(model, settings, outputs, batch, target_terms)
        if joint:
            terms = _share_one_mean(terms, outputs)
        for term in further_terms:
            terms |= term(outputs)
        return {name: term * target_weight if name.startswith("target") else term for name, term in terms.items()}

    def objective(step: int, batch: Batch) -> Iterator[dict[str, Tensor]]:
        batch, terms_of_batch = (batch, []) if teacher is None else teacher(step, batch)
        if domain_specific_bn is True and "source_image" in batch:
            with frozen_statistics(module for module in model.modules() if isinstance(module, BatchNorm)):
                source_terms = run(batch.domain("source"), [])
            yield source_terms
            batch = batch.domain("target")
        yield run(batch, [*loss_terms, *terms_of_batch])

    return objective


def _share_one_mean(terms: dict[str, Tensor], outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
    """Turn the mean over the labelled pixels of each domain into its share of one mean over those of all domains.

    The penalty of a regulariser has no share: it stays a mean over the target's pixels (CRST).
    """
    counts = {name: processes.all_reduce_sum((one.label != IGNORE).sum()) for name, one in outputs.items()}
    total = torch.stack(list(counts.values())).sum().clamp(min=1)
    shares = {name: counts[domain] / total for name in terms if (domain := name.partition("_aux")[0]) in counts}
    return {name: term * shares.get(name, 1.0) for name, term in terms.items()}


def _run_domains(
    model: nn.Module,
    settings: Model,
    autocast: Autocast,
    batch: Batch,
    domain_specific_bn: DomainBN = False,
    parts: int = 1,
) -> dict[str, DomainOutput]:
    """Run the network on all domains of a batch.

    With several parts, all but the last run without being kept, and run again in the backward pass. The losses are
    those of the whole batch, so that the gradients are too.
    """
    images = {domain: batch[f"{domain}_image"] for domain in DOMAINS if f"{domain}_image" in batch}

    def run(*part: Tensor) -> list[Output]:
        return _run_part(model, settings, autocast, dict(zip(images, part, strict=True)), domain_specific_bn)

    *earlier, last = zip(*_split(list(images.values()), parts), strict=True)
    results = [*(checkpoint(run, *part, use_reentrant=False) for part in earlier), run(*last)]
    outputs = results[0] if parts == 1 else [Output.cat(of_domain) for of_domain in zip(*results, strict=True)]
    return {
        domain: DomainOutput(
            output,
            upsample(output.logits, image_NHWC.shape[1:3], model.align_corners),
            *(batch.get(f"{domain}_{part}") for part in ("valid", "label", "depth")),
            model.align_corners,
        )
        for (domain, image_NHWC), output in zip(images.items(), outputs, strict=True)
    }


def _split(images: Sequence[Tensor], parts: int) -> list[tuple[Tensor, ...]]:
    """Split the images of each domain into parts, so that no part is empty."""
    split = [image_NHWC.tensor_split(parts) for image_NHWC in images]
    if all(len(image_NHWC) < parts for image_NHWC in images):
        # In a batch from a joint list: the first parts have images of one domain, the last ones of the other.
        split[-1] = images[-1].split([len(part) for part in reversed(split[-1])])
    return split


def _run_part(
    model: nn.Module, settings: Model, autocast: Autocast, images: dict[str, Tensor], domain_specific_bn: DomainBN
) -> list[Output]:
    """Run the network on images of all domains; return the output of each domain.

    Images of one size go through it together, so that batch norm's statistics are of the mixture in training as in
    the running ones. Domains of different sizes go through it one after the other, as in AdaptSegNet, and so do all
    domains where every layer normalises each by itself.
    """
    norms: list[BatchNorm] = []  # whose running statistics are the target's alone
    if domain_specific_bn in (True, "stem") and len(images) > 1:
        part = model.stem() if domain_specific_bn == "stem" else model
        norms = [module for module in part.modules() if isinstance(module, BatchNorm)]
    with autocast():
        has_one_size = len({image_NHWC.shape[1:3] for image_NHWC in images.values()}) == 1
        if has_one_size and domain_specific_bn in (False, "stem"):
            counts = [len(image_NHWC) for image_NHWC in images.values()]
            with by_domain(norms, counts):
                joint = model(_input(torch.cat(list(images.values())), settings))
            return joint.split(counts)
        outputs = []
        for domain, image_NHWC in images.items():
            with frozen_statistics(norms) if domain == "source" else nullcontext():
                outputs.append(model(_input(image_NHWC, settings)))
        return outputs


def _input(image_NHWC: Tensor, settings: Model) -> Tensor:
    """Normalise images, in the memory format that suits the device."""
    return normalise(image_NHWC, settings.color).contiguous(memory_format=layout(image_NHWC.device))


def _segmentation(
    model: nn.Module,
    settings: Model,
    outputs: dict[str, DomainOutput],
    batch: Batch,
    target_terms: TargetTerms | None = None,
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the cross-entropy of each domain that has labels, at the last and at the inner classifiers."""

    def cooled(logits_NCHW: Tensor) -> Tensor:  # a division by 1 would copy the largest map there is
        return logits_NCHW if temperature == 1 else logits_NCHW / temperature

    terms = {}
    weight = 1.0 if settings.auxiliary is None else settings.auxiliary
    for domain, domain_output in outputs.items():
        full_NCHW, label_NHW = domain_output.full, domain_output.label
        if label_NHW is None:
            continue
        pixels_NHW = batch.get(f"{domain}_pixels")
        if domain == "target" and target_terms is not None:
            terms |= target_terms(full_NCHW, label_NHW, batch["target_image"], pixels_NHW)
        else:
            terms[domain] = cross_entropy(cooled(full_NCHW), label_NHW, class_weights, pixels_NHW=pixels_NHW)
        for level, aux_NChw in enumerate(domain_output.output.aux, 1):
            aux_NCHW = upsample(aux_NChw, label_NHW.shape[1:], model.align_corners)
            loss = cross_entropy(cooled(aux_NCHW), label_NHW, class_weights, pixels_NHW=pixels_NHW)
            terms[f"{domain}_aux{level}"] = weight * loss
    return terms
