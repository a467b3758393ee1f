"""manifest.json: what a stage has read and written, with which settings."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from udaseg.io.documents.read import Count, Document, NotNegative, Part


def _check_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("time", "Input should be a time of ISO 8601") from None
    return text


Time = Annotated[str, AfterValidator(_check_time)]


class InputRecord(Part):
    """Something that a stage has read."""

    path: str = Field(description="the path of a file or directory that was read")
    digest: str = Field(description="the digest of the names and content of its files")


class OutputRecord(Part):
    """The files that a stage has written."""

    count: Count = Field(
        description="the number of files that the stage wrote, without the records about it and state.pt"
    )
    bytes: Count = Field(description="their size")
    digest: str = Field(description="BLAKE2b of their names and content")
    signature: str = Field(
        description="the digest of names, sizes, times and inodes; while it fits, no file is read again"
    )


class Manifest(Document):
    """Written last and in one piece: a directory without it is unfinished, and no stage reads it."""

    file = "manifest.json"
    where = "every stage directory"

    schema_version: int = Field(alias="schema", description="the version of the manifest: 1")
    stage: str = Field(description="the name of the stage")
    version: str = Field(description="the version of udaseg")
    command: str = Field(description="the command line that did the work")
    settings: dict[str, Any] = Field(
        description="the settings that the result depends on, by section; with other values the stage runs again"
    )
    seed: int = Field(description="the seed of everything random")
    inputs: dict[str, InputRecord]
    outputs: OutputRecord
    metrics: dict[str, Any] = Field(description="the stage's key numbers; each stage has its own")
    warnings: list[str] = Field(description="the warnings of the stage")
    environment: dict[str, Any] = Field(
        description="python, torch and, where a network ran, device, precision, threads"
    )
    started: Time = Field(description="when the work, or its last part, began; UTC, ISO 8601")
    seconds: NotNegative = Field(description="how long the work took; all parts together, if it was stopped")
