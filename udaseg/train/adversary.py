"""Adversarial alignment: a discriminator learns to tell the domains apart, and the network learns to confuse it.

The input of the discriminator is one function in VIEWS. Both learn in one backward pass: the network's term uses
detached parameters of the discriminator, the discriminator's term uses detached views.
"""

from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.optim import Adam

from udaseg.config import Adversary
from udaseg.data.batches import DOMAINS
from udaseg.errors import UdasegError
from udaseg.io.documents.log_lines import read_log
from udaseg.models.discriminators import PATCH, PixelDiscriminator
from udaseg.models.network import Network
from udaseg.train.domains import Autocast, DomainOutput, LossTerm
from udaseg.train.loop import Trainable
from udaseg.train.losses import chosen_mean, information_map, mask_at_grid, masked_mean, mean, upsample
from udaseg.train.state import AGAIN

SOURCE, TARGET = 0, 1  # the labels of the discriminator
ACCURACY = "discriminator_accuracy"  # in the log; 0.5 is chance
TEMPERATURE = 1.8  # of the soft labels, and of the source's cross-entropy beside them (FADA)
CLIP = 0.9  # the largest soft label; clipped labels are not normalised again (FADA)
PATCH_SIDE = 32
SEGMENTATION = "segmentation"
OVERPOWERED, CHANCE = 0.98, (0.45, 0.55)  # accuracies of a discriminator that is too good, and of one that guesses
LONG, ENOUGH = 1000, 100  # the last steps whose accuracy counts; with fewer than enough there is no verdict

INNER = "_aux1"  # the end of the names of modules and terms at the first inner classifier
LOGGED_ONLY = (ACCURACY, ACCURACY + INNER)  # in the log, but no part of the loss

# From the discriminator's logits, the domain that they should name, and the network's output to a loss.
DomainLoss = Callable[[Tensor, int, DomainOutput], Tensor]


def fused(domain: DomainOutput, maps: tuple[str, ...] | None = None) -> Tensor:
    """Return the product of maps: segmentation, which is the entropy of each class, depth, density.

    By default it is the entropy times the estimated density, or the estimated depth without a density (DADA). float32
    [N, C, H, W], with C = 1 without segmentation. It is not normalised, and the gradient flows through all factors.
    """
    names = maps or (SEGMENTATION, "depth" if domain.output.density is None else "density")
    factors = [
        information_map(domain.full)
        if name == SEGMENTATION
        else upsample(getattr(domain.output, name), domain.full.shape[-2:], domain.align_corners)
        for name in names
    ]
    return reduce(torch.mul, factors)


VIEWS: dict[str, Callable[[DomainOutput], Tensor]] = {
    "output": lambda domain: domain.full.softmax(1),  # AdaptSegNet
    "entropy": lambda domain: information_map(domain.full),  # ADVENT
    "fine-grained": lambda domain: domain.output.features,  # FADA
    "fused": fused,  # depth distribution
}


def vanilla(logits: Tensor, label: int, valid: Tensor | None = None) -> Tensor:
    """Average the binary cross-entropy of logits against SOURCE or TARGET: ln 2 at logit 0.

    valid: bool, of the shape of the logits, which may be any; None for all.
    """
    labels = torch.full_like(logits, label)
    return _mean_of(functional.binary_cross_entropy_with_logits(logits, labels, reduction="none"), valid)


def least_squares(logits: Tensor, label: int, valid: Tensor | None = None) -> Tensor:
    """Average the squared distance of logits to SOURCE or TARGET (LS-GAN); valid as in `vanilla`."""
    return _mean_of((logits - label).square(), valid)


def fine_grained(logits_N2CHW: Tensor, label: int, labels_NCHW: Tensor, valid_NHW: Tensor | None = None) -> Tensor:
    """Average -sum_c a_c log q_c, where q is the half of the 2C-way softmax that belongs to a domain (FADA, eq. 4).

    label: SOURCE or TARGET. labels: the soft labels a, float [N, C, H, W]. valid: bool [N, H, W], the pixels that
    count; None for all.
    """
    loss_NHW = -(labels_NCHW * functional.log_softmax(logits_N2CHW, dim=1).chunk(2, dim=1)[label]).sum(1)
    return mean(loss_NHW) if valid_NHW is None else masked_mean(loss_NHW, valid_NHW)


def soft_labels(logits_NCHW: Tensor) -> Tensor:
    """Return the softmax at TEMPERATURE, clipped at CLIP and without a gradient, float32 [N, C, H, W] (FADA)."""
    return (logits_NCHW.detach().float() / TEMPERATURE).softmax(1).clamp(max=CLIP)


def build_adversaries(
    settings: Adversary, model: Network, classes: int, device: torch.device, autocast: Autocast
) -> tuple[dict[str, Trainable], list[LossTerm]]:
    """Build a discriminator and its loss term for each level of the network that is aligned.

    `udaseg.config.rules` says which networks and alignments fit together.
    """
    corners = model.align_corners
    discriminator = build_discriminator(settings, model.feature_channels, classes, device)
    trainables = {"discriminator": discriminator}
    terms = [adversarial_loss(discriminator.module, settings, corners, autocast)]
    if settings.auxiliary is not None:
        inner = settings.model_copy(update={"weight": settings.auxiliary})
        assert model.inner_classifiers
        assert settings.align != "fine-grained"
        discriminator = build_discriminator(inner, model.feature_channels, classes, device)
        trainables["discriminator" + INNER] = discriminator
        terms.append(at_inner_classifier(adversarial_loss(discriminator.module, inner, corners, autocast), corners))
    return trainables, terms


def at_inner_classifier(term: LossTerm, align_corners: bool) -> LossTerm:
    """Return the same loss term on the logits of the first inner classifier (AdaptSegNet, multi-level)."""

    def inner_term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        inner = {}
        for name, domain in outputs.items():
            logits_NChw = domain.output.aux[0]
            full_NCHW = upsample(logits_NChw, domain.full.shape[-2:], align_corners)
            inner[name] = domain._replace(output=domain.output._replace(logits=logits_NChw), full=full_NCHW)
        return {name + INNER: value for name, value in term(inner).items()}

    return inner_term


def build_discriminator(settings: Adversary, features: int, classes: int, device: torch.device) -> Trainable:
    """Build the discriminator for a network with this many feature channels and classes, and its optimizer."""
    if settings.align != "fine-grained":
        has_classes = settings.maps is None or SEGMENTATION in settings.maps
        discriminator = PATCH[settings.discriminator](classes if has_classes else 1)
    else:
        discriminator = PixelDiscriminator(features, classes)
    discriminator.to(device, memory_format=torch.channels_last)
    optimizer = Adam(discriminator.parameters(), lr=settings.lr, betas=settings.betas)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return Trainable(discriminator.train(), optimizer)


def adversarial_loss(
    discriminator: nn.Module, settings: Adversary, align_corners: bool, autocast: Autocast
) -> LossTerm:
    """Return the adversarial loss term of the network and of the discriminator.

    Its terms: `adversarial` has a gradient for the network alone, through the target. `discriminator` has one for the
    discriminator alone. ACCURACY is the share of patches or pixels whose domain the discriminator names; it is for
    the log. The term raises UdasegError for images smaller than a patch.
    """
    view = partial(fused, maps=settings.maps) if settings.align == "fused" else VIEWS[settings.align]
    loss, names_target = _domain_loss(settings, align_corners), _names_target(settings)

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        detached = {name: value.detach() for name, value in discriminator.named_parameters()}
        for name, domain in outputs.items():
            _require_patch(settings, name, domain)
        outputs = _with_common_padding(outputs)
        target = _without_padding(view(outputs["target"]), outputs["target"].valid)
        with torch.no_grad():
            source = _without_padding(view(outputs["source"]), outputs["source"].valid).detach()
        with autocast():
            network_logits = functional_call(discriminator, detached, target).float()
            logits = [discriminator(source).float(), discriminator(target.detach()).float()]
        losses, hits = [], []
        for label, name in enumerate(DOMAINS):
            losses.append(loss(logits[label], label, outputs[name]))
            is_right = names_target(logits[label].detach()) == bool(label)
            hits.append(_mean_of(is_right.float(), mask_at_grid(outputs[name].valid, is_right.shape[-2:])))
        return {
            "adversarial": settings.weight * loss(network_logits, SOURCE, outputs["target"]),
            "discriminator": (losses[SOURCE] + losses[TARGET]) / 2,
            ACCURACY: (hits[SOURCE] + hits[TARGET]) / 2,
        }

    return term


def _domain_loss(settings: Adversary, align_corners: bool) -> DomainLoss:
    """Return the loss of the discriminator's logits against the domain that they should name."""
    if settings.align == "fine-grained":

        def loss(logits_N2Chw: Tensor, label: int, domain: DomainOutput) -> Tensor:
            full_N2CHW = upsample(logits_N2Chw, domain.full.shape[-2:], align_corners)
            return fine_grained(full_N2CHW, label, soft_labels(domain.full), domain.valid)

        return loss
    binary = {"vanilla": vanilla, "least-squares": least_squares}[settings.loss]
    return lambda logits_N1hw, label, domain: binary(
        logits_N1hw[:, 0], label, mask_at_grid(domain.valid, logits_N1hw.shape[-2:])
    )


def _with_common_padding(outputs: dict[str, DomainOutput]) -> dict[str, DomainOutput]:
    """Treat as padding in both domains what is padding in one: the padding itself would tell the domains apart."""
    masks = [domain.valid for domain in outputs.values() if domain.valid is not None]
    common = {}
    for name, domain in outputs.items():
        at_size = [mask_at_grid(valid_NHW, domain.full.shape[-2:]) for valid_NHW in masks]
        common[name] = domain._replace(valid=torch.stack(at_size).all(0) if at_size else None)
    return common


def _without_padding(view_NChw: Tensor, valid_NHW: Tensor | None) -> Tensor:
    """Set a view to zero where there is no image, in the memory format that convolutions read fastest."""
    valid_Nhw = mask_at_grid(valid_NHW, view_NChw.shape[-2:])
    masked_NChw = view_NChw if valid_Nhw is None else view_NChw * valid_Nhw[:, None]
    return masked_NChw.contiguous(memory_format=torch.channels_last)


def _mean_of(values: Tensor, valid: Tensor | None) -> Tensor:
    """Average over the valid elements; over all where there is no mask."""
    return mean(values) if valid is None else chosen_mean(values, valid)


def _require_patch(settings: Adversary, name: str, domain: DomainOutput) -> None:
    height, width = domain.full.shape[-2:]
    if settings.align != "fine-grained" and min(height, width) < PATCH_SIDE:
        raise UdasegError(
            f"the {name} images are {height}x{width}, and a patch of the discriminator is {PATCH_SIDE} pixels wide",
            f"set {name}.size=[256,512], or warmup.augment.crop=[256,256]; each side needs {PATCH_SIDE} or more",
        )


def _names_target(settings: Adversary) -> Callable[[Tensor], Tensor]:
    """Return the function from the discriminator's logits to where they name the target: bool [N, h, w]."""
    if settings.align == "fine-grained":
        return lambda logits_N2Chw: torch.stack(logits_N2Chw.chunk(2, dim=1)).logsumexp(2).argmax(0) == TARGET
    middle = (SOURCE + TARGET) / 2 if settings.loss == "least-squares" else 0.0
    return lambda logits_N1hw: logits_N1hw[:, 0] > middle


def training_warnings(log: Path) -> list[str]:
    """Return a warning for each discriminator that was of no use in the last 1000 steps of a training log.

    A training of less than 2000 steps is judged by its second half.
    """
    lines = read_log(log, AGAIN)
    end = lines[-1]["step"] if lines else 0
    steps = min(LONG, end // 2)
    late = [line for line in lines if line["step"] > end - steps]
    if steps < ENOUGH or len(late) < 4:
        return []
    warnings = []
    for name, weight in zip(LOGGED_ONLY, ("adversary.weight", "adversary.auxiliary"), strict=True):
        accuracies = [line[name] for line in late if name in line]
        if not accuracies:
            continue
        discriminator = "the discriminator" + (" of the inner level" if name != ACCURACY else "")
        mean = sum(accuracies) / len(accuracies)
        fact = f"in the last {steps} steps {discriminator} was right in {100 * mean:.1f} % of the cases"
        if mean > OVERPOWERED:
            warnings.append(f"{fact}: it is overpowered, and little is aligned; lower adversary.lr, or raise {weight}")
        elif CHANCE[0] < mean < CHANCE[1]:
            warnings.append(
                f"{fact}: it is blind; nothing is left to align, {weight} is too high, or adversary.lr too low"
            )
    return warnings
