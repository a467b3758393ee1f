"""Rare class sampling of the source: part of `retrain`."""

from pydantic import Field

from udaseg.config.fields import (
    Count,
    Fraction,
    NonNegativeInt,
    Positive,
    Section,
    Share,
)


class Rare(Section):
    """How images and crops of rare classes are drawn more often (DAFormer)."""

    # VFM-UDA has 0.05. The lower, the more often the rarest class is drawn.
    temperature: Positive = Field(
        0.01, description="The temperature T of a class's probability, softmax((1 - its share of the source) / T)."
    )
    pixels: NonNegativeInt = Field(
        3000, description="The pixels of a class above which an image can be drawn for it, at the image's own size."
    )
    crop_share: Fraction = Field(
        0.5, description="The share of `pixels`, scaled to the size in training, that the crop has to exceed."
    )
    max_share: Share = Field(
        0.75, description="The share of a crop's labelled pixels that its commonest class has to stay below."
    )
    tries: Count = Field(10, description="How many crops are drawn at most; the last one stays.")
