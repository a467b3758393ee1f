"""The student's view of the target: part of `retrain` and `distill`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    Fraction,
    Section,
)


class Strong(Section):
    """How the student's view of the target differs from the teacher's."""

    later: ClassVar[frozenset[str]] = frozenset({"hue", "probability", "method"})

    jitter: Fraction = Field(0.2, description="The strength of the colour changes in the student's view of the target.")
    # DACS has 0.25 for jitter and hue, DAFormer 0.2; both have the probability 0.8.
    hue: Annotated[float, Field(ge=0.0, le=0.5)] | None = Field(
        None, description="The largest change of the hue, in turns; default: a quarter of jitter."
    )
    probability: Fraction = Field(1.0, description="The probability of the colour changes.")
    # torchvision: factors of the brightness, of the contrast around the mean and of the saturation, then the hue
    # dacs: brightness is added, contrast multiplies the image, saturation is that of HSV; in a random order
    method: Literal["torchvision", "dacs"] = Field(
        "torchvision", description="How colours change: as in torchvision, or as in dacs, in a random order."
    )
    blur: Fraction = Field(0.5, description="The probability of a blur in the student's view of the target.")

    @property
    def hue_turns(self) -> float:
        """The largest change of the hue, in turns."""
        return self.jitter / 4 if self.hue is None else self.hue

    @property
    def changes_colours(self) -> bool:
        """Whether any colour changes before the blur."""
        return self.jitter > 0 or self.hue_turns > 0
