"""Target labels that are made at every step: part of `retrain`."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from udaseg.config.fields import (
    Decay,
    Fraction,
    Section,
)


class Online(Section):
    """Target labels that are made anew at every step, from the unchanged images."""

    later: ClassVar[frozenset[str]] = frozenset({"frame", "margins", "flip"})

    scores: Literal["teacher", "initial", "student"] = Field(
        "teacher",
        description="The model that labels online: the teacher, the initial model of retraining (ProDA), or the "
        "student as it is (TPS).",
    )
    frame: Literal["same", "previous"] = Field(
        "same",
        description="The frame that is labelled: the same that is learnt, or the previous one, warped to it (TPS).",
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
    # A car bonnet has no class. DAFormer: 0.03, 0.2344, 0, 0; VFM-UDA: 0.03, 0.25, 0.03, 0.03.
    margins: tuple[Decay, Decay, Decay, Decay] = Field(
        (0.0, 0.0, 0.0, 0.0),
        description="The shares of an image at its top, bottom, left and right where online labels do not count.",
    )
    flip: bool = Field(False, description="Average the probabilities for an image and its mirror image (VFM-UDA).")

    @field_validator("margins")
    @classmethod
    def _require_rest(cls, margins: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        top, bottom, left, right = margins
        if top + bottom >= 1 or left + right >= 1:
            raise ValueError(
                f"margins of {top:g} at the top, {bottom:g} at the bottom, {left:g} on the left and {right:g} on the "
                "right leave nothing of an image"
            )
        return margins

    @property
    def has_margins(self) -> bool:
        """Whether labels do not count in some part of an image."""
        return any(self.margins)
