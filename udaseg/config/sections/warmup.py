"""The section `warmup`: the first training, on the labelled source."""

from typing import Annotated, Literal

from pydantic import Field

from udaseg.config.fields import (
    Positive,
)
from udaseg.config.sections.training import Training


class Warmup(Training):
    """The first training, on the labelled source."""

    source: Literal["source", "stylize"] = Field(
        "source", description="The source images to train on: source, as they are, or stylize."
    )
    fda: Annotated[float, Field(gt=0.0, lt=0.5)] | None = Field(
        None, description="Give each drawn source image a random target style, with this FDA beta; default: none."
    )
    entropy_weight: Positive | None = Field(
        None, description="The weight of FDA's robust entropy penalty on the target; default: no penalty."
    )
    # The weight is 1 / (C f) for a class with the share f of the pixels.
    class_weights: bool = Field(False, description="Weight the source's cross-entropy by the inverse class frequency.")
    class_balanced: bool = Field(
        False, description="Draw source images class by class, rare classes as often as others (FADA)."
    )
