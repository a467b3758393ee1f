"""The section `prior`: where the classes are in the images of the source."""

from typing import Literal

from pydantic import Field

from udaseg.config.fields import (
    Count,
    HxW,
    Positive,
    Section,
)


class Prior(Section):
    """Where in the image each class stands in the source."""

    size: HxW | None = Field(
        None, description="Height and width of the images that the prior is for; default: the target's size."
    )
    stride: Count = Field(8, description="The height and width of a cell of the prior's maps, in pixels.")
    kernel: Positive = Field(70.0, description="The size of the smoothing Gaussian, in pixels of a 1024x2048 image.")
    sigma: Positive | None = Field(
        None,
        description="The Gaussian's standard deviation, in the same pixels as its size; default: a sixth of that.",
    )
    norm: Literal["mean", "sum", "max"] = Field(
        "mean", description="What is scaled to 1 in each map: its mean, sum or max."
    )
