"""metrics.json: the scores of a model."""

from typing import Annotated

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

DEPTH = "the network estimates depth, and the images have it"


class DepthMetrics(Part):
    """The errors of the estimated depth: e is the error and z the true depth in metres."""

    rel: NotNegative | None = Field(description="mean of the absolute value of e / z")
    rel2: NotNegative | None = Field(description="mean of e² / z")
    rms: NotNegative | None = Field(description="root of the mean of e², in metres")
    lrms: NotNegative | None = Field(description="root mean square error of the natural logarithm of depth")
    delta1: Share | None = Field(description="share of pixels within a factor of 1.25")
    delta2: Share | None = Field(description="share of pixels within a factor of 1.25²")
    delta3: Share | None = Field(description="share of pixels within a factor of 1.25³")
    pixels: Count = Field(description="pixels that were counted")
    convention: str = Field(description="how the errors are counted, in words")


class LastScores(Part):
    """The scores of the last models of a training, of which model.pt is the last."""

    miou: list[Share | None] = Field(description="of each, the earliest first")
    mean: Share | None = Field(description="their mean")
    deviation: NotNegative | None = Field(description="their standard deviation, that of a sample")


class Metrics(Document):
    """Counted in integers over all images, at the labels' own size unless `gt_size` names another."""

    file = "metrics.json"
    where = "`evaluate`"

    classes: ClassNames = Field(description=CLASS_ORDER)
    iou: Annotated[list[Share | None], Shape("C")] = Field(
        description="intersection over union; null for a class that is neither true nor predicted anywhere"
    )
    miou: Share | None = Field(description="the mean IoU of the classes that occur")
    miou_interval: Annotated[list[Share] | None, Shape("2")] = conditional(
        "more than one image", "the 95 % interval of miou over images, from 1000 bootstrap samples"
    )
    miou16: Share | None = Field(description="over the 16 classes of SYNTHIA, where the space has them")
    miou13: Share | None = Field(description="over 13 of them, where the space has them")
    pixel_accuracy: Share | None = Field(description="the share of pixels with the right class")
    absent: list[str] = Field(description="the classes without an IoU")
    confusion: Annotated[list[list[Count]], Shape(("C", "C"))] = Field(description="pixels; a row for each true class")
    images: Count = Field(description="images that were scored")
    convention: str = Field(description="how the numbers are counted, in words")
    last: LastScores | None = conditional("the training kept several models", "the scores of its last models")
    gt_size: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = conditional(
        "`evaluate.gt_size` is set", "height and width to which labels were resized before they were counted"
    )
    depth: DepthMetrics | None = conditional(DEPTH, "the errors of the estimated depth")
