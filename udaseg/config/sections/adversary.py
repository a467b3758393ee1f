"""The section `adversary`: the discriminator between the domains."""

from typing import Literal

from pydantic import Field

from udaseg.config.fields import (
    Decay,
    Positive,
    Section,
)


class Adversary(Section):
    """The discriminator between the domains, and what it looks at while `warmup` trains."""

    align: Literal["none", "output", "entropy", "fine-grained", "fused"] = Field(
        "none",
        description="What a discriminator compares between the domains: none, output, entropy, fine-grained or fused.",
    )
    loss: Literal["vanilla", "least-squares"] = Field(
        "vanilla", description="The adversarial loss: vanilla or least-squares."
    )
    discriminator: Literal["full", "light"] = Field(
        "full", description="The discriminator of maps: full or light; fine-grained alignment has its own."
    )
    weight: Positive = Field(0.001, description="The weight of the adversarial loss in the network's loss.")
    # AdaptSegNet, multi-level: 0.0002.
    auxiliary: Positive | None = Field(
        None, description="The weight of a second adversarial loss, on the first inner classifier; default: none."
    )
    lr: Positive = Field(1e-4, description="The learning rate of the discriminator, which Adam trains.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.99), description="The two betas of the discriminator's Adam.")
