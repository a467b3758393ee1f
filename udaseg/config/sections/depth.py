"""The section `depth`: the losses of the heads for depth and density."""

from pydantic import Field

from udaseg.config.fields import (
    Positive,
    Section,
)


class Depth(Section):
    """The losses of the heads for depth and density while `warmup` trains (depth distribution)."""

    regression: Positive = Field(0.005, description="The weight of the loss on the source's depth.")
    balance: Positive = Field(0.01, description="The weight of the loss on the source's density.")
    target_balance: Positive = Field(0.05, description="The weight of the loss on the target's density.")
    # The published loss counts invalid depth as 65536.
    mask_invalid: bool = Field(True, description="Leave pixels without a valid depth out of the loss.")
