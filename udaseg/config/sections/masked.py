"""Masked image consistency: part of `retrain`."""

from pydantic import Field

from udaseg.config.fields import (
    Decay,
    Length,
    Positive,
    Section,
)


class Masked(Section):
    """A further pass on the target with blocks hidden, whose labels the student learns all the same (MIC)."""

    # MIC: 64 for crops of 1024 pixels, 32 for crops of 512.
    block: Length = Field(32, description="The side of the blocks to hide, in pixels of the crop.")
    ratio: Decay = Field(0.7, description="The share of blocks to hide.")
    weight: Positive = Field(1.0, description="The weight of the loss on the images with hidden blocks.")
    # MIC leaves the colours as they are from clear to adverse weather.
    strong: bool = Field(True, description="Change the colours of these images too, as retrain.strong says.")
