"""adapt.json: what happened frame by frame while a model adapted to a stream of images."""

from typing import Annotated, Literal

from pydantic import Field

from udaseg.io.documents.read import (
    CLASS_ORDER,
    ClassNames,
    Count,
    Document,
    NotNegative,
    Part,
    Shape,
    Share,
    conditional,
)

LABELS = "with `--labels`"
SOURCE = "with `--source`"


class FrameRecord(Part):
    """The prediction of a frame, made before the update, and what was done."""

    confidence: Share = Field(description="the mean probability of the label")
    entropy: NotNegative = Field(description="the mean entropy of a pixel's probabilities, in nats")
    marginal_entropy: NotNegative = Field(
        description="the entropy of the mean probabilities, in nats: near 0 where all pixels get one class"
    )
    kl: NotNegative | None = Field(
        description="the mean KL divergence of the probabilities from those of the first model, before a reset; null "
        "where the prediction was not finite"
    )
    reset: Literal["anchor", "scene"] | None = Field(
        description="why the first model was restored before this frame was labelled; null where it was not"
    )
    updated: bool = Field(description="whether the model was updated after this frame")
    miou: Share | None = conditional(LABELS, "the mean IoU of the frame; null for a frame without a label")
    miou_after: Share | None = conditional(LABELS, "the same after the update")


class StreamScores(Part):
    """Scores from the counts of several frames together."""

    frames: Count = Field(description="frames that have a label")
    iou: Annotated[list[Share | None], Shape("C")] = Field(
        description="intersection over union; null for a class that is neither true nor predicted"
    )
    miou: Share | None = Field(description="the mean IoU of the classes that occur")
    pixel_accuracy: Share | None = Field(description="pixels with the right class")


class SourceScores(Part):
    """The mean IoU on labelled images of the source: the difference is what was forgotten."""

    images: Count = Field(description="images of the source that have a label")
    before: Share | None = Field(description="mean IoU of the first model")
    after: Share | None = Field(description="mean IoU of the model that the stream left")


class Adaptation(Document):
    """No times: a stopped and continued adaptation writes the same bytes."""

    file = "adapt.json"
    where = "`adapt`"

    classes: ClassNames = Field(description=CLASS_ORDER)
    method: Literal["frozen", "statistics", "tent", "cotta"] = Field(description="frozen, statistics, tent or cotta")
    updates: Count = Field(description="frames after which the model was updated")
    resets: dict[str, Count] = Field(description="how often the first model was restored, by reason: anchor, scene")
    collapsed: Count = Field(description="frames whose marginal entropy was below half of the first model's")
    confidence: Share = Field(description="the mean over all frames, as the two below")
    entropy: NotNegative = Field(description="the mean entropy, in nats")
    kl: NotNegative = Field(description="the mean KL divergence from the first model, in nats")
    stream: StreamScores | None = conditional(LABELS, "all frames, before their updates")
    last_tenth: StreamScores | None = conditional(LABELS, "the last tenth of the frames, before their updates")
    after: StreamScores | None = conditional(LABELS, "all frames, each after its update")
    source: SourceScores | None = conditional(SOURCE, "what the model knows of the source")
    frames: dict[str, FrameRecord] = Field(description="by stem, in the order of the stream")
