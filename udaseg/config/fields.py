"""The kinds of values that the sections of a recipe hold."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST = 16384  # pixels of a side; no machine has the memory for larger images
SHORTEST = 32  # of what a network sees

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Length = Annotated[int, Field(ge=1, le=LONGEST)]
HxW = tuple[Length, Length]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # JSON holds these exactly, and PyTorch takes them
Name = Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$")]  # of a directory
AdaBN = Literal[False, True, "stem"]  # one value list, described where it is used
BnMode = Literal["train", "affine-frozen", "frozen"]
TeacherNorm = Literal["average", "batch", "stem"]
Precision = Literal["auto", "fp32", "bf16"]


def _require_rows_and_columns(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) < SHORTEST:
        raise ValueError(f"{size[0]}x{size[1]} is too small: the networks need {SHORTEST}x{SHORTEST} or more")
    return size


InputHxW = Annotated[HxW, AfterValidator(_require_rows_and_columns)]  # of what a network sees at a time


class SettingError(ValueError):
    """A wrong value, and the hint that says how to correct it."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.hint = hint


class Section(BaseModel):
    """A frozen part of a recipe: unknown keys, infinity and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    later: ClassVar[frozenset[str]] = frozenset()  # settings that older results do not know, whose default changes none
    without_effect: ClassVar[frozenset[str]] = frozenset()  # settings that no result depends on, or that are elsewhere

    def identity(self) -> dict[str, Any]:
        """Return the settings that a result depends on; a result from before a later setting stays up to date."""
        defaults = {name for name in self.later if getattr(self, name) == type(self).model_fields[name].default}
        values = self.model_dump(exclude=defaults | self.without_effect)
        return values | {name: part.identity() for name, part in self if name in values and isinstance(part, Section)}
