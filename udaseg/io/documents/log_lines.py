"""The files with a JSON object a line: log.jsonl and pairs.jsonl."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from udaseg.errors import UdasegError
from udaseg.io.documents.read import Document, explain
from udaseg.io.files import parse_json


class LogLine(Document):
    """A line every `log_every` steps, without times: a resumed training writes the same bytes."""

    file = "log.jsonl"
    where = "Beside `model.pt`"
    __pydantic_extra__: dict[str, float] = Field(init=False)

    step: int = Field(description="from 1")
    loss: float = Field(description="what was minimised; NaN or infinite where a training diverges")
    lr: float = Field(description="the learning rate of the backbone")


class PairLine(Document):
    """A line for each image of the source."""

    file = "pairs.jsonl"
    where = "`stylize`, beside a dataset of the source's layout"

    source: str = Field(description="its stem")
    target: str = Field(description="the stem of the image that gave the style")


def read_log(path: Path, hint: str, *, torn: bool = False) -> list[dict[str, Any]]:
    """Read a log.jsonl: an object a line, as `LogLine` describes it.

    With `torn` the last line may be incomplete, as a killed process leaves it, and is left out. Raises UdasegError,
    with the hint, for any other line.
    """
    records = []
    lines = path.read_bytes().splitlines(keepends=True)
    if torn and lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            record = parse_json(line.decode(), finite=False)
            LogLine.model_validate(record)
        except ValidationError as error:
            raise UdasegError(f"{path}, line {number}: {explain(error)}", hint) from None
        except ValueError as error:
            raise UdasegError(f"cannot read {path}, line {number}: {error}", hint) from None
        records.append(record)
    return records
