"""The section `predict`: what is stored of the network's output for the target images."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    AdaBN,
    HxW,
)
from udaseg.config.sections.views import Views


class Predict(Views):
    """How the network sees the target images for their pseudo-labels, and what `predict` stores of its output."""

    later: ClassVar[frozenset[str]] = Views.later | {"store"}
    # Results have the size among the target's settings.
    without_effect: ClassVar[frozenset[str]] = Views.without_effect | {"size"}

    # prototypes and refine see the images at this size too. Labels have the images' own size whatever it is.
    size: HxW | None = Field(
        None, description="Height and width at which the network sees the images; default: the target's size."
    )
    # store: what the stages after predict find; at 1024x2048, stride 8 and 19 classes
    #   logits      all they may need, float16: 1.2 MB an image
    #   confidence  the most likely class and its probability in 8 bits, on a grid twice as fine: no other class can win
    #   none        nothing: pseudolabel runs the network itself, twice
    store: Literal["logits", "confidence", "none"] = Field(
        "logits", description="What is stored of each image: logits, confidence (and label), or none."
    )
    # adabn: which statistics batch norm uses
    #   false  those of the model; after training with bn=train they are mainly the source's
    #   true   those of the target images, in every layer
    #   stem   those of the target images, in the first normalisation layer only
    #   first  as true in round 1, as false after it: later models were trained on the target too
    adabn: Literal[AdaBN, "first"] = Field(
        False, description="Estimate batch norm's statistics on the target images first: false, true, stem or first."
    )
