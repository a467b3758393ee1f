"""The section `adversary`: the discriminator between the domains."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from udaseg.config.fields import (
    Decay,
    Positive,
    Section,
)


class Adversary(Section):
    """The discriminator between the domains, and what it looks at while `warmup` trains."""

    later: ClassVar[frozenset[str]] = frozenset({"maps"})

    align: Literal["none", "output", "entropy", "fine-grained", "fused"] = Field(
        "none",
        description="What a discriminator compares between the domains: none, output, entropy, fine-grained or fused.",
    )
    # segmentation is the entropy map. By default it is multiplied by the density, or by the depth where the network
    # estimates no density.
    maps: tuple[Literal["segmentation", "depth", "density"], ...] | None = Field(
        None,
        description="Maps whose product the fused adversary sees: segmentation, depth, density; default: by the heads.",
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

    @field_validator("maps")
    @classmethod
    def _require_each_map_once(cls, maps: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if maps is not None and (not maps or len(set(maps)) < len(maps)):
            raise ValueError("expected one map or more, each once; [segmentation,density]")
        return maps
