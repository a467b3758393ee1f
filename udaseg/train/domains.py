"""Run a network on the images of each domain in a batch."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from udaseg.config import AdaBN, Model
from udaseg.data.batches import DOMAINS, Batch
from udaseg.models.batchnorm import BatchNorm, by_domain, frozen_statistics
from udaseg.models.colors import normalise
from udaseg.models.devices import layout
from udaseg.models.network import Network
from udaseg.models.output import Output
from udaseg.train.detail import PlaceDetail
from udaseg.train.losses import upsample

Autocast = Callable[[], AbstractContextManager]
DomainBN = Literal[AdaBN, "separate"]  # the layers in which batch norm normalises each domain by itself


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


def run_domains(
    model: Network,
    settings: Model,
    autocast: Autocast,
    batch: Batch,
    place: PlaceDetail,
    domain_specific_bn: DomainBN = False,
    parts: int = 1,
    domains: Sequence[str] = DOMAINS,
) -> dict[str, DomainOutput]:
    """Run the network on those of the domains that a batch has.

    With several parts, all but the last run without being kept, and run again in the backward pass. The losses are
    those of the whole batch, so that the gradients are too.
    """
    images = {domain: batch[f"{domain}_image"] for domain in domains if f"{domain}_image" in batch}

    def run(*part: Tensor) -> list[Output]:
        return _run_part(model, settings, autocast, dict(zip(images, part, strict=True)), place, domain_specific_bn)

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
    model: Network,
    settings: Model,
    autocast: Autocast,
    images: dict[str, Tensor],
    place: PlaceDetail,
    domain_specific_bn: DomainBN,
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
        sizes = {tuple(image_NHWC.shape[1:3]) for image_NHWC in images.values()}
        if len(sizes) == 1 and domain_specific_bn in (False, "stem"):
            counts = [len(image_NHWC) for image_NHWC in images.values()]
            with by_domain(norms, counts):
                joint = model(_input(torch.cat(list(images.values())), settings), place(sizes.pop()))
            return joint.split(counts)
        outputs = []
        for domain, image_NHWC in images.items():
            with frozen_statistics(norms) if domain == "source" else nullcontext():
                outputs.append(model(_input(image_NHWC, settings), place(image_NHWC.shape[1:3])))
        return outputs


def _input(image_NHWC: Tensor, settings: Model) -> Tensor:
    """Normalise images, in the memory format that suits the device."""
    return normalise(image_NHWC, settings.color).contiguous(memory_format=layout(image_NHWC.device))
