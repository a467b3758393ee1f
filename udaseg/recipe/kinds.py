"""The kinds of values that the sections of a recipe hold."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
HxW = tuple[Count, Count]
Name = Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$")]  # of a directory
# The domains have batch norm's statistics of their own: in no layer, in all, in the one that pictures meet first.
AdaBN = Literal[False, True, "stem"]
BnMode = Literal["train", "affine-frozen", "frozen"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
