"""Target labels that are made at every step: part of `retrain`."""

from typing import Literal

from pydantic import Field

from udaseg.config.fields import (
    Fraction,
    Section,
)


class Online(Section):
    """Target labels that are made anew at every step, from the teacher's view."""

    scores: Literal["teacher", "initial"] = Field(
        "teacher", description="The model that labels online: the teacher, or the initial model of retraining (ProDA)."
    )
    rectify: bool = Field(False, description="Weight online labels by the distance to moving prototypes (ProDA).")
    pixels: Literal["all", "labelled", "unlabelled"] = Field(
        "all", description="The pixels to label online, by their stored labels: all, labelled or unlabelled."
    )
    confidence: Fraction = Field(0.968, description="The confidence from which an online label is sure.")
    # weigh: the labels of an image count by its share of sure ones (DACS).
    unsure: Literal["weigh", "ignore"] = Field(
        "weigh", description="Unsure online labels: weigh all by the image's share of sure ones, or ignore them."
    )
