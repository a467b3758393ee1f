"""The section `evaluate`: how a model is scored."""

from pydantic import Field

from udaseg.config.fields import (
    HxW,
)
from udaseg.config.sections.views import Views


class Evaluate(Views):
    """How the model is evaluated on the labelled target images."""

    size: HxW | None = Field(
        None, description="Height and width at which the network sees the images; default: the target's size."
    )
