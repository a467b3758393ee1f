"""Read JSON files as pydantic models, with one clear error for a file that does not fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from udaseg.errors import UdasegError
from udaseg.io.files import read_json

LONGEST_VALUE = 60  # characters of a wrong value that a message shows


CLASS_ORDER = "the class names, in the order of every other [C]"


class Shape(tuple[str, ...]):
    """The lengths of nested lists by letter: C is the number of classes; one letter has one length in a document."""


Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ClassNames = Annotated[list[str], Field(min_length=1), Shape("C")]
ClassCounts = Annotated[list[Count], Shape("C")]


def conditional(when: str, description: str) -> Any:
    """Return the pydantic field of a key that is there only in some cases; `when` says in which."""
    return Field(default=None, description=description, json_schema_extra={"when": when})


class Document(BaseModel):
    """A JSON object with known keys; further keys are kept as they are."""

    # Built when first used: help imports this, and reads no document.
    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True, populate_by_name=True)

    file: ClassVar[str]  # its name
    where: ClassVar[str]  # the stages that write it

    @model_validator(mode="after")
    def _check_lengths(self) -> "Document":
        _check_fields("", self, {})
        return self

    def content(self) -> dict[str, Any]:
        """Return the keys and values to write as JSON: those that were set, in their order."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Part(BaseModel):
    """An object inside of a document."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True)


def _check_fields(prefix: str, model: BaseModel, lengths: dict[str, int]) -> None:
    """Raise ValueError for the first list, in a model or a part of it, whose length is not that of its letter."""
    for name, field in type(model).model_fields.items():
        _check_value(prefix + name, getattr(model, name), field.annotation, field.metadata, lengths)


def _check_value(key: str, value: Any, annotation: Any, metadata: Sequence[Any], lengths: dict[str, int]) -> None:
    for shape in (one for one in metadata if isinstance(one, Shape)):
        _check_shape(key, value, shape, lengths)
    if isinstance(value, Part):
        _check_fields(f"{key}.", value, lengths)
    elif isinstance(value, dict):
        choices = [annotation, *get_args(annotation)]  # of `dict[str, X] | None`, the former
        inner = next((get_args(one)[1] for one in choices if get_origin(one) is dict), Any)
        for name, one in value.items():
            _check_value(f"{key}.{name}", one, inner, getattr(inner, "__metadata__", ()), lengths)


def _check_shape(name: str, values: Any, shape: tuple[str, ...], lengths: dict[str, int]) -> None:
    if values is None or not shape:
        return
    expected = lengths.setdefault(shape[0], len(values))
    if len(values) != expected:
        raise ValueError(f"{name} should have {expected} values, found {len(values)}")
    for inner in values:
        _check_shape(name, inner, shape[1:], lengths)


Model = TypeVar("Model", bound=Document)


def read_document(path: Path, model: type[Model], hint: str | None = None) -> Model | None:
    """Read a JSON file as a model; None where there is no file.

    Raises UdasegError, with the hint, for a file that cannot be read or does not fit: path, key, expected and found.
    """
    hint = hint or f"remove {path}; the stage then runs again"
    values = read_json(path, hint)
    if values is None:
        return None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UdasegError(f"{path}: {explain(error)}", hint) from None


def explain(error: ValidationError) -> str:
    """Return what is wrong first: the key, what was expected and what was found."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    found = repr(first["input"])
    found = found if len(found) <= LONGEST_VALUE else f"{found[:LONGEST_VALUE]}..."
    message = first["msg"].replace("Input should be", "should be").replace("List should", "should")
    return f"{key or 'the line'} {message}, found {found}"
