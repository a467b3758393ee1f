"""The section `pseudolabel`: the policy that chooses labels, and its thresholds."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    Count,
    Fraction,
    NonNegative,
    Section,
    Share,
)
from udaseg.config.policies import POLICIES


class Iast(Section):
    """Image-adaptive thresholds (IAST)."""

    start: Share = Field(0.9, description="The threshold of every class before the first image.")
    alpha: Fraction = Field(0.2, description="The share of pixels to keep of a class whose threshold is 1.")
    beta: Fraction = Field(0.9, description="The weight of the old thresholds when an image updates them.")
    gamma: NonNegative = Field(8.0, description="How strongly the kept share falls for classes with low thresholds.")


class Pseudolabel(Section):
    """Which predictions become pseudo-labels."""

    later: ClassVar[frozenset[str]] = frozenset({"cap"})

    policy: Literal[tuple(POLICIES)] = Field(
        "cbst",
        description="st: one threshold; cbst: one a class; st-sp, cbst-sp: with a prior; percentile: with a cap; iast: "
        "moving ones.",
    )
    p: Share = Field(0.2, description="The share of pixels to keep of each class, in round 1.")
    p_step: Fraction = Field(0.05, description="How much the kept share grows in each further round.")
    p_max: Share = Field(0.5, description="The largest share of pixels to keep, in any round.")
    # The CBST authors use 4.
    stride: Count = Field(1, description="Estimate thresholds from every n-th pixel of a class.")
    cap: Share = Field(0.9, description="The largest threshold of the policy percentile (FDA, BDL).")
    iast: Iast = Field(Iast(), description="The settings of the policy iast.")
