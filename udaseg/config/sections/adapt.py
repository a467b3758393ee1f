"""The settings of the command `adapt`, which reads no recipe."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    Count,
    Decay,
    Fraction,
    NonNegative,
    Positive,
    Section,
)

_OF_ALL = ("anchor", "every", "reset")
_OF_GRADIENTS = ("momentum", "norm", "lr", *_OF_ALL)
# The settings that each method reads.
READ: dict[str, tuple[str, ...]] = {
    "frozen": (),
    "statistics": ("momentum", "layers", *_OF_ALL),
    "tent": _OF_GRADIENTS,
    "cotta": (*_OF_GRADIENTS, "views", "teacher", "restore", "confidence"),
}


class Adapt(Section):
    """How a trained model adapts to a stream of images, frame by frame."""

    without_effect: ClassVar[frozenset[str]] = frozenset({"save_every"})

    method: Literal["frozen", "statistics", "tent", "cotta"] = Field(
        "statistics", description="What adapts: frozen (nothing), statistics, tent or cotta."
    )
    momentum: Fraction = Field(
        0.1, description="How far batch norm's running statistics move to those of each frame, 0 to 1."
    )
    layers: Literal["all", "stem"] = Field(
        "all", description="The layers whose statistics move: all, or the stem, the first one."
    )
    # The papers normalise by the batch. A batch is one frame here, and its classes shift its statistics.
    norm: Literal["batch", "average"] = Field(
        "batch", description="What batch norm uses in tent and cotta: the frame's statistics (batch), or the average."
    )
    lr: Positive | None = Field(
        None, description="The learning rate of Adam; default: 0.0001 for tent, 0.00001 for cotta."
    )
    # The paper has 32.
    views: Count = Field(2, description="The views that the teacher of cotta averages over; the paper has 32.")
    teacher: Decay = Field(0.999, description="How much of the teacher of cotta an update keeps.")
    restore: Fraction = Field(
        0.01, description="The probability with which cotta restores each weight after an update."
    )
    confidence: Fraction = Field(
        0.92, description="The first model's mean confidence from which cotta uses no further views."
    )
    anchor: NonNegative = Field(
        2.0, description="Restore the first model where the KL divergence from its predictions is larger; 0: never."
    )
    every: Count = Field(1, description="Update after every n-th frame.")
    reset: bool = Field(
        False, description="Restore the first model where the confidence drops by 3 standard deviations."
    )
    save_every: Count = Field(50, description="Save the state every n frames; a stopped command goes on from there.")

    def identity(self) -> dict[str, Any]:
        """Return the settings that the method reads."""
        return self.model_dump(include={"method", *READ[self.method]})

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.lr or {"tent": 1e-4, "cotta": 1e-5}[self.method]
