"""run.json: the recipe of a run."""

from typing import Literal

from pydantic import Field

from udaseg.io.documents.read import (
    Document,
)


class RunFile(Document):
    """The recipe of a run, for later commands that name the run alone."""

    file = "run.json"
    where = "the run"

    recipe: str = Field(description="the name of a shipped recipe, or the path of a recipe file")
    scale: Literal["full", "toy"] = Field(description="full or toy")
    data: str = Field(description="the directory that holds the datasets")
    seed: int = Field(description="the seed of everything random")
