"""The section `refine`: which pseudo-labels are dropped or changed."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    Fraction,
    NonNegative,
    NonNegativeInt,
    Positive,
    Section,
)


class Refine(Section):
    """What is taken out of the pseudo-labels because it is likely wrong."""

    later: ClassVar[frozenset[str]] = frozenset({"decide", "margin", "temporal", "carry"})

    aggregate: bool = Field(False, description="Remove the labels of unsure pixels and of small components.")
    prototypes: bool = Field(False, description="Choose the class of pixels again by the distance to prototypes.")
    first: Literal["prototypes", "aggregate"] = Field(
        "prototypes", description="Which of the two refinements comes first: prototypes or aggregate."
    )
    # ProDA decides on all pixels.
    pixels: Literal["labelled", "all"] = Field(
        "labelled", description="The pixels that prototypes decide on: labelled or all."
    )
    decide: Literal["rectify", "nearest"] = Field(
        "rectify",
        description="How prototypes decide: rectify the scores by nearness (ProDA), or take the nearest alone (CAG).",
    )
    # CAG: 2.5.
    margin: NonNegative = Field(
        0.0, description="With nearest, remove a label unless the second prototype is so much farther away."
    )
    temperature: Positive = Field(1.0, description="The temperature of the softmax over distances to prototypes.")
    confidence: Fraction = Field(0.9, description="Remove the labels of pixels with a lower confidence than this.")
    base0: NonNegativeInt = Field(50, description="The pixels that a component of the rarest class must have.")
    base1: NonNegativeInt = Field(
        4950, description="The further pixels that a component of the most common class must have."
    )
    scale_with_area: bool = Field(
        False, description="Scale the component sizes by the image area over 1280x760 pixels."
    )
    temporal: bool = Field(False, description="Remove the labels that the prediction for the frame before contradicts.")
    carry: bool = Field(
        False,
        description="Give unlabelled pixels the pseudo-label of the frame before, where it is their likeliest class.",
    )

    @property
    def steps(self) -> tuple[str, ...]:
        """The chosen refinements, in their order: those by the frame before come first."""
        order = ("prototypes", "aggregate") if self.first == "prototypes" else ("aggregate", "prototypes")
        return tuple(name for name in ("temporal", "carry", *order) if getattr(self, name))

    @property
    def uses_flow(self) -> bool:
        """Whether labels follow the optical flow to the frame before."""
        return self.temporal or self.carry
