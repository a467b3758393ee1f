"""The section `warmup`: the first training, on the labelled source."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    NonNegativeInt,
    Positive,
)
from udaseg.config.sections.adaptation import Adaptation


class Warmup(Adaptation):
    """The first training, on the labelled source."""

    later: ClassVar[frozenset[str]] = Adaptation.later | {"entropy_auxiliary", "entropy_from"}

    source: Literal["source", "stylize"] = Field(
        "source", description="The source images to train on: source, as they are, or stylize."
    )
    # MinEnt: 0.0002.
    entropy_auxiliary: Positive | None = Field(
        None, description="The weight of a second such penalty, on the first inner classifier; default: none."
    )
    # FDA: 50000 steps of 100000.
    entropy_from: NonNegativeInt = Field(0, description="The steps before the penalty on entropy begins.")
    # The weight is 1 / (C f) for a class with the share f of the pixels.
    class_weights: bool = Field(False, description="Weight the source's cross-entropy by the inverse class frequency.")
    class_balanced: bool = Field(
        False, description="Draw source images class by class, rare classes as often as others (FADA)."
    )
