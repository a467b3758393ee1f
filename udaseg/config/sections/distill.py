"""The section `distill`: a fresh student of the finished model."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    Fraction,
    HxW,
    NonNegative,
    Positive,
)
from udaseg.config.sections.strong import Strong
from udaseg.config.sections.training import Training


class Distill(Training):
    """How a fresh student learns from the source and from the finished model (ProDA)."""

    # Results have the size among the target's settings.
    without_effect: ClassVar[frozenset[str]] = Training.without_effect | {"size"}

    size: HxW | None = Field(
        None,
        description="Height and width of target images before scale and crop; default: the target's size.",
    )
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
