"""The JSON files that describe a run and its stages: run.json and manifest.json."""

from datetime import datetime
from typing import Annotated, Any, Literal

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


class RunFile(Document):
    """The recipe of a run, for later commands that name the run alone."""

    file = "run.json"
    where = "the run"

    recipe: str = Field(description="the name of a shipped recipe, or the path of a recipe file")
    scale: Literal["full", "toy"] = Field(description="full or toy")
    data: str = Field(description="the directory that holds the datasets")
    seed: int = Field(description="the seed of everything random")


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


class OutputFiles(Document):
    """The names of the files that the stage has written."""

    file = "outputs.json"
    where = "every stage directory"

    files: list[str] = Field(description="paths in the directory")


class Owner(Part):
    """The process that works on a stage."""

    pid: int = Field(description="the process")
    host: str = Field(description="the machine on which it runs")
    since: Time = Field(description="when it began; UTC, ISO 8601")
    command: str = Field(description="the command line")


class WorkRecord(Document):
    """The work that is under way in `<stage>.partial`, or was stopped there; the same command continues it."""

    file = "partial.json"
    where = "`<stage>.partial`"

    stage: str = Field(description="the name of the stage")
    settings: dict[str, Any] = Field(description="as in the manifest to come")
    seed: int = Field(description="as in the manifest to come")
    inputs: dict[str, InputRecord]
    owner: Owner
    seconds: NotNegative = Field(description="how long the work took before this process began")
    forced: bool = Field(description="whether --force began it: it is then continued although a result is up to date")
    clearing: bool = Field(description="whether files of other work are still removed: nothing is continued then")
