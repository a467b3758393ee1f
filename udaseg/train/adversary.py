"""Adversarial alignment: a discriminator learns to tell the domains apart, the network to leave it no difference.

What the discriminator looks at is one function in VIEWS. Both players learn in one backward pass: the discriminator
is called with detached parameters in the network's term, and with detached views in its own.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.optim import Adam

from udaseg.errors import UdasegError
from udaseg.models.discriminators import PATCH, PixelDiscriminator
from udaseg.recipe import Adversary
from udaseg.train.loop import Player
from udaseg.train.losses import information_map, upsampled
from udaseg.train.objectives import Ask, Autocast, Seen

SOURCE, TARGET = 0, 1  # what the discriminator is to say
ACCURACY = "discriminator_accuracy"  # in the log; 0.5 is chance
TEMPERATURE = 1.8  # of the soft labels, and of the source's cross-entropy beside them (FADA)
CLIP = 0.9  # of the soft labels, which are not made to sum to one again (FADA)
PATCH_SIDE = 32
OVERPOWERED, CHANCE = 0.98, (0.45, 0.55)
LONG, ENOUGH = 1000, 100  # the steps whose accuracy is judged; fewer than enough say nothing

Judge = Callable[[Tensor, int, Seen], Tensor]

VIEWS: dict[str, Callable[[Seen], Tensor]] = {
    "output": lambda seen: seen.full.softmax(1),  # AdaptSegNet
    "entropy": lambda seen: information_map(seen.full),  # ADVENT
    "fine-grained": lambda seen: seen.output.features,  # FADA
}


def vanilla(logits: Tensor, domain: int) -> Tensor:
    """Average the binary cross-entropy of the logits, of any shape, against a domain: ln 2 at logit 0."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain))


def least_squares(logits: Tensor, domain: int) -> Tensor:
    """Average the squared distance of the logits, of any shape, to a domain (LS-GAN)."""
    return (logits - domain).square().mean()


def fine_grained(logits_N2CHW: Tensor, domain: int, labels_NCHW: Tensor) -> Tensor:
    """Average -sum_c a_c log q_c, where q_c is the half of the 2C-way softmax that belongs to a domain (FADA, eq. 4).

    labels: the soft labels a, float [N, C, H, W].
    """
    return -(labels_NCHW * functional.log_softmax(logits_N2CHW, dim=1).chunk(2, dim=1)[domain]).sum(1).mean()


def soft_labels(logits_NCHW: Tensor) -> Tensor:
    """Give the softmax at TEMPERATURE, clipped at CLIP and without a gradient, float32 [N, C, H, W] (FADA)."""
    return (logits_NCHW.detach().float() / TEMPERATURE).softmax(1).clamp(max=CLIP)


def player(settings: Adversary, features: int, classes: int, device: torch.device) -> Player:
    """Make the discriminator for a network with so many feature channels and classes, and its optimizer.

    Raises UdasegError for a loss or a discriminator that the alignment does not have.
    """
    if settings.align != "fine-grained":
        discriminator = PATCH[settings.discriminator](classes)
    elif (settings.loss, settings.discriminator) == ("vanilla", "full"):
        discriminator = PixelDiscriminator(features, classes)
    else:
        raise UdasegError(
            f"the fine-grained adversary has a discriminator and a loss of its own, not {settings.discriminator} "
            f"and {settings.loss}",
            "leave out adversary.discriminator and adversary.loss, or set adversary.align to output or entropy",
        )
    discriminator.to(device)
    optimizer = Adam(discriminator.parameters(), lr=settings.lr, betas=settings.betas)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return Player(discriminator.train(), optimizer)


def against(discriminator: nn.Module, settings: Adversary, align_corners: bool, autocast: Autocast) -> Ask:
    """Ask the network to pass the target for source, and the discriminator to tell the two apart.

    Gives the terms `adversarial`, whose gradient reaches the network alone and by way of the target; `discriminator`,
    whose gradient reaches the discriminator alone; and ACCURACY, the share of patches or pixels it is right about,
    which is to be watched. Raises UdasegError for pictures too small to hold a patch.
    """
    view, judge, takes_for_target = VIEWS[settings.align], _judge(settings, align_corners), _takes_for_target(settings)

    def ask(seen: dict[str, Seen]) -> dict[str, Tensor]:
        held = {name: value.detach() for name, value in discriminator.named_parameters()}
        for domain in seen:
            _require_patch(settings, domain, seen[domain])
        target = view(seen["target"])
        with torch.no_grad():
            source = view(seen["source"]).detach()
        with autocast():
            passed = functional_call(discriminator, held, target).float()
            said = [discriminator(source).float(), discriminator(target.detach()).float()]
        lost = [judge(said[SOURCE], SOURCE, seen["source"]), judge(said[TARGET], TARGET, seen["target"])]
        right = [(takes_for_target(said[domain].detach()) == bool(domain)).float() for domain in (SOURCE, TARGET)]
        return {
            "adversarial": settings.weight * judge(passed, SOURCE, seen["target"]),
            "discriminator": (lost[SOURCE] + lost[TARGET]) / 2,
            ACCURACY: (right[SOURCE].mean() + right[TARGET].mean()) / 2,
        }

    return ask


def _judge(settings: Adversary, align_corners: bool) -> Judge:
    """Give the loss of having said some logits of a domain."""
    if settings.align == "fine-grained":

        def judge(logits_N2Chw: Tensor, domain: int, seen: Seen) -> Tensor:
            full_N2CHW = upsampled(logits_N2Chw, seen.full.shape[-2:], align_corners)
            return fine_grained(full_N2CHW, domain, soft_labels(seen.full))

        return judge
    loss = {"vanilla": vanilla, "least-squares": least_squares}[settings.loss]
    return lambda logits_N1hw, domain, seen: loss(logits_N1hw, domain)


def _require_patch(settings: Adversary, domain: str, seen: Seen) -> None:
    height, width = seen.full.shape[-2:]
    if settings.align != "fine-grained" and min(height, width) < PATCH_SIDE:
        raise UdasegError(
            f"the {domain} pictures are {height}x{width}, and a patch of the discriminator is {PATCH_SIDE} pixels wide",
            f"set {domain}.size=[H,W], or warmup.augment.crop, to {PATCH_SIDE} or more",
        )


def _takes_for_target(settings: Adversary) -> Callable[[Tensor], Tensor]:
    """Give what tells, from the logits, which patches or pixels the discriminator takes for target."""
    if settings.align == "fine-grained":
        return lambda logits_N2Chw: torch.stack(logits_N2Chw.chunk(2, dim=1)).logsumexp(2).argmax(0) == TARGET
    middle = (SOURCE + TARGET) / 2 if settings.loss == "least-squares" else 0.0
    return lambda logits_N1hw: logits_N1hw > middle


def doubts(log: Path) -> list[str]:
    """Say where the log of a training shows a discriminator that teaches nothing, from its last 1000 steps.

    Of a training of less than 2000 steps the second half is looked at.
    """
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    end = lines[-1]["step"] if lines else 0
    judged = min(LONG, end // 2)
    seen = [line[ACCURACY] for line in lines if line["step"] > end - judged]
    if judged < ENOUGH or len(seen) < 4:
        return []
    mean = sum(seen) / len(seen)
    told = f"in the last {judged} steps the discriminator was right in {100 * mean:.1f} % of the cases"
    if mean > OVERPOWERED:
        return [f"{told}: it is overpowered, and little is aligned; lower adversary.lr, or raise adversary.weight"]
    if CHANCE[0] < mean < CHANCE[1]:
        return [f"{told}: it is blind; either nothing is left to align, or adversary.weight is too high for it"]
    return []
