"""Adversarial alignment: a discriminator learns to tell the domains apart, the network to leave it no difference.

What the discriminator looks at is one function in VIEWS. Both players learn in one backward pass: the discriminator
is called with detached parameters in the network's term, and with detached views in its own.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.optim import Adam

from udaseg.config import Adversary
from udaseg.data.batches import DOMAINS
from udaseg.errors import UdasegError
from udaseg.io.documents.lines import read_log
from udaseg.models.discriminators import PATCH, PixelDiscriminator
from udaseg.models.network import Network
from udaseg.train.loop import Trainable
from udaseg.train.losses import at_grid, information_map, masked_mean, mean, upsampled
from udaseg.train.objectives import Autocast, DomainOutput, LossTerm
from udaseg.train.state import AGAIN

SOURCE, TARGET = 0, 1  # what the discriminator is to say
ACCURACY = "discriminator_accuracy"  # in the log; 0.5 is chance
TEMPERATURE = 1.8  # of the soft labels, and of the source's cross-entropy beside them (FADA)
CLIP = 0.9  # of the soft labels, which are not made to sum to one again (FADA)
PATCH_SIDE = 32
OVERPOWERED, CHANCE = 0.98, (0.45, 0.55)
LONG, ENOUGH = 1000, 100  # the steps whose accuracy is judged; fewer than enough say nothing

INNER = "_aux1"  # ends the names of what belongs to the game on the first inner classifier
LOGGED_ONLY = (ACCURACY, ACCURACY + INNER)  # what the log shows beside the terms

DomainLoss = Callable[[Tensor, int, DomainOutput], Tensor]


def fused(seen: DomainOutput) -> Tensor:
    """Give the entropy maps times the density that the network estimates, or its depth where it has no density (DADA).

    float32 [N, C, H, W]; the map is not normalised, and the gradient flows through both factors.
    """
    estimated = seen.output.depth if seen.output.density is None else seen.output.density
    return information_map(seen.full) * upsampled(estimated, seen.full.shape[-2:], seen.align_corners)


VIEWS: dict[str, Callable[[DomainOutput], Tensor]] = {
    "output": lambda seen: seen.full.softmax(1),  # AdaptSegNet
    "entropy": lambda seen: information_map(seen.full),  # ADVENT
    "fine-grained": lambda seen: seen.output.features,  # FADA
    "fused": fused,  # depth distribution
}


def vanilla(logits: Tensor, domain: int) -> Tensor:
    """Average the binary cross-entropy of the logits, of any shape, against a domain: ln 2 at logit 0."""
    said = torch.full_like(logits, domain)
    return mean(functional.binary_cross_entropy_with_logits(logits, said, reduction="none"))


def least_squares(logits: Tensor, domain: int) -> Tensor:
    """Average the squared distance of the logits, of any shape, to a domain (LS-GAN)."""
    return mean((logits - domain).square())


def fine_grained(logits_N2CHW: Tensor, domain: int, labels_NCHW: Tensor, valid_NHW: Tensor | None = None) -> Tensor:
    """Average -sum_c a_c log q_c, where q_c is the half of the 2C-way softmax that belongs to a domain (FADA, eq. 4).

    labels: the soft labels a, float [N, C, H, W]. valid: bool [N, H, W], the pixels that count; all of them without.
    """
    loss_NHW = -(labels_NCHW * functional.log_softmax(logits_N2CHW, dim=1).chunk(2, dim=1)[domain]).sum(1)
    return mean(loss_NHW) if valid_NHW is None else masked_mean(loss_NHW, valid_NHW)


def soft_labels(logits_NCHW: Tensor) -> Tensor:
    """Give the softmax at TEMPERATURE, clipped at CLIP and without a gradient, float32 [N, C, H, W] (FADA)."""
    return (logits_NCHW.detach().float() / TEMPERATURE).softmax(1).clamp(max=CLIP)


def build_adversaries(
    settings: Adversary, model: Network, classes: int, device: torch.device, autocast: Autocast
) -> tuple[dict[str, Trainable], list[LossTerm]]:
    """Make a discriminator for each level of the network that is aligned, and what is asked of both players there.

    `udaseg.config.rules` says which networks and alignments fit together.
    """
    opponent = build_discriminator(settings, model.feature_channels, classes, device)
    trainables = {"discriminator": opponent}
    asked = [adversarial_loss(opponent.module, settings, model.align_corners, autocast)]
    if settings.auxiliary is not None:
        inner = settings.model_copy(update={"weight": settings.auxiliary})
        assert model.inner_classifiers
        assert settings.align != "fine-grained"
        opponent = build_discriminator(inner, model.feature_channels, classes, device)
        trainables["discriminator" + INNER] = opponent
        asked.append(
            _inside(adversarial_loss(opponent.module, inner, model.align_corners, autocast), model.align_corners)
        )
    return trainables, asked


def _inside(ask: LossTerm, align_corners: bool) -> LossTerm:
    """Ask the same of the first inner classifier (AdaptSegNet, multi-level)."""

    def asked(seen: dict[str, DomainOutput]) -> dict[str, Tensor]:
        inner = {}
        for domain, at in seen.items():
            logits_NChw = at.output.aux[0]
            full_NCHW = upsampled(logits_NChw, at.full.shape[-2:], align_corners)
            inner[domain] = at._replace(output=at.output._replace(logits=logits_NChw), full=full_NCHW)
        return {name + INNER: term for name, term in ask(inner).items()}

    return asked


def build_discriminator(settings: Adversary, features: int, classes: int, device: torch.device) -> Trainable:
    """Make the discriminator for a network with so many feature channels and classes, and its optimizer."""
    if settings.align != "fine-grained":
        discriminator = PATCH[settings.discriminator](classes)
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
    """Ask the network to pass the target for source, and the discriminator to tell the two apart.

    Gives the terms `adversarial`, whose gradient reaches the network alone and by way of the target; `discriminator`,
    whose gradient reaches the discriminator alone; and ACCURACY, the share of patches or pixels it is right about,
    which is to be watched. Raises UdasegError for images too small to hold a patch.
    """
    view, judge, takes_for_target = VIEWS[settings.align], _judge(settings, align_corners), _takes_for_target(settings)

    def ask(seen: dict[str, DomainOutput]) -> dict[str, Tensor]:
        held = {name: value.detach() for name, value in discriminator.named_parameters()}
        for domain in seen:
            _require_patch(settings, domain, seen[domain])
        seen = _alike(seen)
        target = _blanked(view(seen["target"]), seen["target"].valid)
        with torch.no_grad():
            source = _blanked(view(seen["source"]), seen["source"].valid).detach()
        with autocast():
            passed = functional_call(discriminator, held, target).float()
            said = [discriminator(source).float(), discriminator(target.detach()).float()]
        lost = [judge(said[SOURCE], SOURCE, seen["source"]), judge(said[TARGET], TARGET, seen["target"])]
        right = [
            _within(takes_for_target(said[domain].detach()) == bool(domain), seen[name].valid).float()
            for domain, name in enumerate(DOMAINS)
        ]
        return {
            "adversarial": settings.weight * judge(passed, SOURCE, seen["target"]),
            "discriminator": (lost[SOURCE] + lost[TARGET]) / 2,
            ACCURACY: (mean(right[SOURCE]) + mean(right[TARGET])) / 2,
        }

    return ask


def _judge(settings: Adversary, align_corners: bool) -> DomainLoss:
    """Give the loss of having said some logits of a domain."""
    if settings.align == "fine-grained":

        def judge(logits_N2Chw: Tensor, domain: int, seen: DomainOutput) -> Tensor:
            full_N2CHW = upsampled(logits_N2Chw, seen.full.shape[-2:], align_corners)
            return fine_grained(full_N2CHW, domain, soft_labels(seen.full), seen.valid)

        return judge
    loss = {"vanilla": vanilla, "least-squares": least_squares}[settings.loss]
    return lambda logits_N1hw, domain, seen: loss(_within(logits_N1hw[:, 0], seen.valid), domain)


def _alike(seen: dict[str, DomainOutput]) -> dict[str, DomainOutput]:
    """Take the same places out of both domains where one has no image: the padding itself would tell them apart."""
    held = [domain for domain in seen if seen[domain].valid is not None]
    alike = {}
    for domain, of_domain in seen.items():
        masks = [at_grid(seen[name].valid, of_domain.full.shape[-2:]) for name in held]
        alike[domain] = of_domain._replace(valid=torch.stack(masks).all(0) if masks else None)
    return alike


def _blanked(view_NChw: Tensor, valid_NHW: Tensor | None) -> Tensor:
    """Take the places without an image out of a view, and lay it out as convolutions read it quickest."""
    valid_Nhw = at_grid(valid_NHW, view_NChw.shape[-2:])
    blanked_NChw = view_NChw if valid_Nhw is None else view_NChw * valid_Nhw[:, None]
    return blanked_NChw.contiguous(memory_format=torch.channels_last)


def _within(values_Nhw: Tensor, valid_NHW: Tensor | None) -> Tensor:
    """Choose what was said of the image, of any shape: nothing where padding leaves no place of the grid."""
    valid_Nhw = at_grid(valid_NHW, values_Nhw.shape[-2:])
    return values_Nhw if valid_Nhw is None else values_Nhw[valid_Nhw]


def _require_patch(settings: Adversary, domain: str, seen: DomainOutput) -> None:
    height, width = seen.full.shape[-2:]
    if settings.align != "fine-grained" and min(height, width) < PATCH_SIDE:
        raise UdasegError(
            f"the {domain} images are {height}x{width}, and a patch of the discriminator is {PATCH_SIDE} pixels wide",
            f"set {domain}.size=[H,W], or warmup.augment.crop, to {PATCH_SIDE} or more",
        )


def _takes_for_target(settings: Adversary) -> Callable[[Tensor], Tensor]:
    """Give what tells, from the logits, which patches or pixels the discriminator takes for target."""
    if settings.align == "fine-grained":
        return lambda logits_N2Chw: torch.stack(logits_N2Chw.chunk(2, dim=1)).logsumexp(2).argmax(0) == TARGET
    middle = (SOURCE + TARGET) / 2 if settings.loss == "least-squares" else 0.0
    return lambda logits_N1hw: logits_N1hw[:, 0] > middle


def training_warnings(log: Path) -> list[str]:
    """Say where the log of a training shows a discriminator that teaches nothing, from its last 1000 steps.

    Of a training of less than 2000 steps the second half is looked at.
    """
    lines = read_log(log, AGAIN)
    end = lines[-1]["step"] if lines else 0
    judged = min(LONG, end // 2)
    late = [line for line in lines if line["step"] > end - judged]
    if judged < ENOUGH or len(late) < 4:
        return []
    found = []
    for name, weight in zip(LOGGED_ONLY, ("adversary.weight", "adversary.auxiliary"), strict=True):
        accuracies = [line[name] for line in late if name in line]
        if not accuracies:
            continue
        who = "the discriminator" + (" of the inner level" if name != ACCURACY else "")
        mean = sum(accuracies) / len(accuracies)
        told = f"in the last {judged} steps {who} was right in {100 * mean:.1f} % of the cases"
        if mean > OVERPOWERED:
            found.append(f"{told}: it is overpowered, and little is aligned; lower adversary.lr, or raise {weight}")
        elif CHANCE[0] < mean < CHANCE[1]:
            found.append(
                f"{told}: it is blind; nothing is left to align, {weight} is too high, or adversary.lr too low"
            )
    return found
