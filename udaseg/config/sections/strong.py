"""The student's view of the target: part of `retrain` and `distill`."""

from pydantic import Field

from udaseg.config.fields import (
    Fraction,
    Section,
)


class Strong(Section):
    """How the student's view of the target differs from the teacher's."""

    jitter: Fraction = Field(0.2, description="The strength of the colour changes in the student's view of the target.")
    blur: Fraction = Field(0.5, description="The probability of a blur in the student's view of the target.")
