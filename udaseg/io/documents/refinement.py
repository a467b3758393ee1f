"""refine.json: what refinement did to the labels."""

from typing import Annotated

from pydantic import Field

from udaseg.io.documents.read import (
    CLASS_ORDER,
    ClassCounts,
    ClassNames,
    Count,
    Document,
    Shape,
    Share,
)


class Refinement(Document):
    """What refinement did to the labels."""

    file = "refine.json"
    where = "`refine`"

    classes: ClassNames = Field(description=CLASS_ORDER)
    order: list[str] = Field(description="the steps: temporal, carry, prototypes, aggregate")
    confidence: Share = Field(description="pixels with a lower confidence lost their label before aggregation")
    minimum: Annotated[list[Count | None], Shape("C")] = Field(
        description="the least pixels of a component, in the largest image; null without aggregation"
    )
    before: ClassCounts = Field(description="pixels in the labels that were read")
    after: ClassCounts = Field(description="pixels in the labels that were written")
    flipped: ClassCounts = Field(description="pixels of the class before that are another class after")
