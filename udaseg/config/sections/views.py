"""How a trained network looks at an image; part of `predict` and `evaluate`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from udaseg.config.fields import (
    Count,
    HxW,
    InputHxW,
    Precision,
    Section,
)


class Views(Section):
    """How a trained network looks at an image: whole or in windows, once or at several scales and mirrored."""

    later: ClassVar[frozenset[str]] = frozenset({"window", "window_stride"})

    batch: Count = Field(1, description="Images of one size that go through the network at a time.")
    precision: Precision = Field("auto", description="The number format of the network: auto, fp32 or bf16.")
    scales: Annotated[tuple[Annotated[float, Field(ge=0.1, le=10.0)], ...], Field(min_length=1)] = Field(
        (1.0,), description="Average the network's output over these image scales: 0.9,1.0,1.2."
    )
    flip: bool = Field(False, description="Average the network's output with that of the mirrored image.")
    average: Literal["logits", "probs"] = Field(
        "logits", description="What is averaged over scales, mirrored images and windows: logits or probs."
    )
    window: InputHxW | None = Field(
        None,
        description="Height and width of windows that the network sees one by one; default: the whole image.",
    )
    window_stride: HxW | None = Field(
        None, description="Rows and columns from one window to the next; default: half a window."
    )

    @field_validator("window_stride")
    @classmethod
    def _require_windows_without_gaps(cls, stride: HxW | None, info: ValidationInfo) -> HxW | None:
        if stride is None or "window" not in info.data:  # a wrong window has an error of its own
            return stride
        window = info.data["window"]
        if window is None:
            raise ValueError("it needs a window, and there is none; set window=[H,W], or leave out window_stride")
        if stride[0] > window[0] or stride[1] > window[1]:
            raise ValueError(
                f"windows of {window[0]}x{window[1]} would leave pixels out at a stride of {stride[0]}x{stride[1]}; "
                f"set window_stride to [{window[0]},{window[1]}] or less"
            )
        return stride
