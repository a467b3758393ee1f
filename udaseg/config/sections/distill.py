"""The section `distill`: a fresh student of the finished model."""

from typing import Literal

from pydantic import Field

from udaseg.config.fields import (
    Fraction,
    NonNegative,
    Positive,
)
from udaseg.config.sections.strong import Strong
from udaseg.config.sections.training import Training


class Distill(Training):
    """How a fresh student learns from the source and from the finished model (ProDA)."""

    source: Literal["source", "stylize", "none"] = Field(
        "source", description="The source images to train on: source, as they are, stylize, or none."
    )
    weights: str | None = Field(
        None,
        description="The weights the student starts from: imagenet, none, pip:PACKAGE, or a file; "
        "default: model.weights.",
    )
    confidence: Fraction = Field(0.95, description="The confidence from which a pixel gets the teacher's label.")
    flip: bool = Field(True, description="Average the teacher's output with that of the mirrored image.")
    target_weight: Positive = Field(1.0, description="The weight of the loss on the teacher's labels.")
    soft_weight: NonNegative = Field(
        1.0, description="The weight of the divergence from the teacher's probabilities, over all pixels."
    )
    strong: Strong | None = Field(None, description="Stronger random changes for the student's view of the target.")
