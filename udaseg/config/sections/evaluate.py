"""The section `evaluate`: how a model is scored."""

from typing import ClassVar

from pydantic import Field

from udaseg.config.fields import (
    HxW,
)
from udaseg.config.sections.views import Views


class Evaluate(Views):
    """How the model is evaluated on the labelled target images."""

    later: ClassVar[frozenset[str]] = Views.later | {"gt_size"}

    size: HxW | None = Field(
        None, description="Height and width at which the network sees the images; default: the target's size."
    )
    # A smaller size hides mistakes at edges and thin things: some published figures were counted so.
    gt_size: HxW | None = Field(
        None, description="Height and width to which labels are resized before they are counted; default: their own."
    )
