"""outputs.json: the names of the files that a stage has written."""

from pydantic import Field

from udaseg.io.documents.read import (
    Document,
)


class OutputFiles(Document):
    """The names of the files that the stage has written."""

    file = "outputs.json"
    where = "every stage directory"

    files: list[str] = Field(description="paths in the directory")
