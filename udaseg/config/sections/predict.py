"""The section `predict`: the logits of the target images."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    AdaBN,
    HxW,
)
from udaseg.config.sections.views import Views


class Predict(Views):
    """How `predict` stores the logits of every target image."""

    # Results have the size among the target's settings.
    without_effect: ClassVar[frozenset[str]] = Views.without_effect | {"size"}

    # prototypes and refine see the images at this size too. Labels have the images' own size whatever it is.
    size: HxW | None = Field(
        None, description="Height and width at which the network sees the images; default: the target's size."
    )
    # adabn: which statistics batch norm uses
    #   false  those of the model; after training with bn=train they are mainly the source's
    #   true   those of the target images, in every layer
    #   stem   those of the target images, in the first normalisation layer only
    #   first  as true in round 1, as false after it: later models were trained on the target too
    adabn: Literal[AdaBN, "first"] = Field(
        False, description="Estimate batch norm's statistics on the target images first: false, true, stem or first."
    )
