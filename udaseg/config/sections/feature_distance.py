"""The distance to the pre-trained encoder: part of `retrain`."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from udaseg.config.fields import (
    Positive,
    Section,
)

# Countable objects: those of Cityscapes, and further names that classes of one's own may have.
THINGS = frozenset(
    (
        "traffic light", "traffic sign", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
        "human", "vehicle", "pedestrian", "bicyclist", "cyclist", "motorcyclist", "bike", "motorbike", "van", "caravan",
        "trailer", "animal",
    )
)  # fmt: skip


class FeatureDistance(Section):
    """How features of things are kept near those of the encoder as its weights have it (DAFormer)."""

    # Of the features of mit_b5, which layer norm scales; those of other encoders have other lengths.
    weight: Positive = Field(0.005, description="The weight of the mean distance.")
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="The classes of things; default: all classes of the space whose names are known as things."
    )
    # With a half or more the class is the commonest one of its cell.
    min_share: Annotated[float, Field(ge=0.5, le=1.0)] = Field(
        0.75, description="The least share of a class in a cell of the encoder's last map."
    )

    def choose(self, space: Sequence[str]) -> list[str]:
        """Return the classes of a space that count as things."""
        names = THINGS if self.classes is None else self.classes
        return [name for name in space if name in names]
