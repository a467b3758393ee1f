"""The section `prototypes`: the mean feature of each class."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    Section,
)


class Prototypes(Section):
    """Over which images the mean features are taken."""

    later: ClassVar[frozenset[str]] = frozenset({"correct"})

    domain: Literal["source", "target", "both"] = Field(
        "target", description="The domain whose features are averaged for each class: source, target or both."
    )
    correct: bool = Field(
        False, description="Average only the pixels to which the model gives the class of their label (CAG)."
    )
