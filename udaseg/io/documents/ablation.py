"""ablation.json: the scores with each ingredient left out."""

from typing import Annotated, Any, Literal

from pydantic import Field

from udaseg.io.documents.read import (
    CLASS_ORDER,
    ClassNames,
    Document,
    NotNegative,
    Part,
    Shape,
    Share,
)


class Variant(Part):
    """The scores of a recipe without one of its ingredients, over the seeds."""

    changes: dict[str, Any] | str = Field(description="the changed settings, or a recipe's name; none for `full`")
    miou: Annotated[list[Share], Shape("S")] = Field(description="mean IoU by seed")
    iou: Annotated[list[list[Share | None]], Shape(("S", "C"))] = Field(description="IoU by seed and class")
    mean: Share = Field(description="the mean over the seeds")
    deviation: NotNegative | None = Field(description="the standard deviation over the seeds; null for one seed")
    change: float = Field(description="the mean difference to `full`, seed by seed")
    change_deviation: NotNegative | None = Field(description="the standard deviation of that difference")


class Ablation(Document):
    """Scores with each ingredient left out, by seed."""

    file = "ablation/ablation.json"
    where = "a run after `udaseg ablate`"

    recipe: str = Field(description="the name of the recipe")
    scale: Literal["full", "toy"] = Field(description="full or toy")
    seeds: Annotated[list[int], Shape("S")] = Field(description="the seeds of the runs")
    classes: ClassNames = Field(description=CLASS_ORDER)
    variants: dict[str, Variant]
