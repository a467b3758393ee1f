"""The distance to a foundation model: part of `retrain`."""

from pydantic import Field, field_validator

from udaseg.config.fields import (
    Length,
    Positive,
    Section,
)
from udaseg.config.sections.model import Model


class Foundation(Section):
    """How features are kept near those of a frozen foundation model, on both domains (VFM-UDA++)."""

    encoder: str = Field(
        "vit_large_patch14_reg4_dinov2", description="The foundation model: any encoder of timm by its name."
    )
    weights: str = Field("imagenet", description="Its weights: imagenet, those of timm, pip:PACKAGE, or a file.")
    side: Length = Field(406, description="The shorter side of the images that it sees, in pixels.")
    weight: Positive = Field(0.1, description="The weight of the mean distance, for each domain.")

    @field_validator("weights")
    @classmethod
    def _require_weights(cls, weights: str) -> str:
        if weights == "none":
            raise ValueError("a foundation model needs weights; expected imagenet, pip:PACKAGE or a file")
        return weights

    @property
    def network(self) -> Model:
        """The settings of a network on this encoder."""
        return Model(encoder=self.encoder, decoder="linear", weights=self.weights)
