"""The kinds of values that the sections of a recipe hold."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST = 16384  # pixels of a side: what is larger, no machine has the memory for

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Length = Annotated[int, Field(ge=1, le=LONGEST)]
HxW = tuple[Length, Length]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what JSON holds exactly, and PyTorch takes
Name = Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$")]  # of a directory
# The domains have batch norm's statistics of their own: in no layer, in all, in the one that images meet first.
AdaBN = Literal[False, True, "stem"]
BnMode = Literal["train", "affine-frozen", "frozen"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
