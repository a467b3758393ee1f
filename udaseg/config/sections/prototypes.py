"""The section `prototypes`: the mean feature of each class."""

from typing import Literal

from pydantic import Field

from udaseg.config.fields import (
    Section,
)


class Prototypes(Section):
    """Over which images the mean features are taken."""

    domain: Literal["source", "target", "both"] = Field(
        "target", description="The domain whose features are averaged for each class: source, target or both."
    )
