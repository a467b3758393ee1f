"""judge.json: the scores of models that need no label of the target."""

from pydantic import Field

from udaseg.io.documents.read import CLASS_ORDER, ClassNames, Count, Document, Part, Share, conditional


class JudgedModel(Part):
    """A model with its scores."""

    digest: str = Field(description="of the model.pt")
    scores: dict[str, float | None] = Field(
        description="by name; null where it cannot be computed: `networks` of one model, source labels without a pixel"
    )
    miou: Share | None = conditional(
        "`--true`", "the mean IoU on the labelled split of the target, which ranks nothing"
    )


class Judgement(Document):
    """Scores of models that need no label of the target, all on the same pixels of the same images."""

    file = "judge.json"
    where = "`judge`"

    classes: ClassNames = Field(description=CLASS_ORDER)
    target: list[str] = Field(description="the stems of the target images")
    source: list[str] = Field(description="the stems of the source images")
    pixels: Count = Field(description="the places in each image")
    better: dict[str, str] = Field(description="whether the larger or the smaller value of a score is better")
    best: dict[str, str] = Field(description="the model that a score would choose")
    models: dict[str, JudgedModel] = Field(description="by path, in the order in which they were given")
