"""partial.json: the work that is under way in a stage directory."""

from typing import Any

from pydantic import Field

from udaseg.io.documents.manifest import InputRecord, Time
from udaseg.io.documents.read import (
    Document,
    NotNegative,
    Part,
)


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
