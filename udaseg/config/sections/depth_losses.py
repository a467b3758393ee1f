"""The losses of depth in self-training: part of `retrain`."""

from pydantic import Field

from udaseg.config.fields import NonNegative, Positive, Section


class DepthLosses(Section):
    """The losses of the depth heads while the student learns the target's labels (CorDA)."""

    source: Positive = Field(0.01, description="The weight of the loss on the source's depth.")
    target: NonNegative = Field(
        0.001, description="The weight of the loss on the depth of the student's target images, mixed or not."
    )
