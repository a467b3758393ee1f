"""The section `stylize`: source images in the style of the target (FDA)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    Section,
)


class Stylize(Section):
    """How `stylize` gives source images the style of target images (FDA)."""

    later: ClassVar[frozenset[str]] = frozenset({"keep_float"})

    beta: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.01, description="Half the width of the swapped frequency window, as a fraction of the shorter image side."
    )
    window: Literal["square", "rect"] = Field(
        "square", description="The shape of the frequency window: square, as in the published code, or rect."
    )
    keep_float: bool = Field(
        False, description="Also store each image before it is clipped and rounded, as float16, in float/."
    )
