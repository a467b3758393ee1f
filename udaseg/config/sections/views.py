"""How a trained network looks at an image; part of `predict` and `evaluate`."""

from typing import Annotated, Literal

from pydantic import Field

from udaseg.config.fields import (
    Count,
    Precision,
    Section,
)


class Views(Section):
    """How a trained network looks at an image: once, or at several scales and mirrored, then averaged."""

    batch: Count = Field(1, description="Images of one size that go through the network at a time.")
    precision: Precision = Field("auto", description="The number format of the network: auto, fp32 or bf16.")
    scales: Annotated[tuple[Annotated[float, Field(ge=0.1, le=10.0)], ...], Field(min_length=1)] = Field(
        (1.0,), description="Average the network's output over these image scales: 0.9,1.0,1.2."
    )
    flip: bool = Field(False, description="Average the network's output with that of the mirrored image.")
    average: Literal["logits", "probs"] = Field(
        "logits", description="What is averaged over scales and mirrored images: logits or probs."
    )
