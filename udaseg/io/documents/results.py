"""The JSON files that hold the results of stages."""

from typing import Annotated, Any, Literal

from pydantic import Field

from udaseg.io.documents.read import (
    ClassCounts,
    ClassNames,
    Count,
    Document,
    NotNegative,
    Part,
    Shape,
    Share,
    conditional,
)

ORDER = "the class names, in the order of every other [C]"
OWN_COUNTS = "always; optional to read"
SHARED_THRESHOLDS = "st, cbst, cbst-sp"
DEPTH = "the network estimates depth, and the images have it"


class Thresholds(Document):
    """The thresholds by which the labels beside it were chosen."""

    file = "thresholds.json"
    where = "`pseudolabel`"

    policy: str = Field(description="st, cbst, cbst-sp or iast")
    p: NotNegative | None = Field(description="the share of pixels to label in this round; null for iast")
    classes: ClassNames = Field(description=ORDER)
    threshold: Annotated[list[Share], Shape("C")] = Field(
        description="the least probability of a labelled pixel of the class; iast: the thresholds of the last image"
    )
    predicted: ClassCounts = Field(description="pixels by plain argmax")
    kept: ClassCounts = Field(description="pixels in the written labels")
    p_step: NotNegative | None = conditional(SHARED_THRESHOLDS, "what each round adds to p")
    p_max: NotNegative | None = conditional(SHARED_THRESHOLDS, "the largest p")
    stride: int | None = conditional(SHARED_THRESHOLDS, "the distance of the pixels that give the thresholds")
    iast: dict[str, Any] | None = conditional("iast", "the settings of the policy")
    prior_peak: Annotated[list[NotNegative] | None, Shape("C")] = conditional(
        "cbst-sp", "the prior's largest value by class"
    )
    round: int = Field(description="of self-training, from 1")


class Refinement(Document):
    """What refinement did to the labels."""

    file = "refine.json"
    where = "`refine`"

    classes: ClassNames = Field(description=ORDER)
    order: list[str] = Field(description="the steps: prototypes, aggregate")
    confidence: Share = Field(description="pixels with a lower confidence lost their label before aggregation")
    minimum: Annotated[list[Count | None], Shape("C")] = Field(
        description="the least pixels of a component, in the largest image; null without aggregation"
    )
    before: ClassCounts = Field(description="pixels in the labels that were read")
    after: ClassCounts = Field(description="pixels in the labels that were written")
    flipped: ClassCounts = Field(description="pixels of the class before that are another class after")


class ClassStatistics(Document):
    """The classes in the labels of the source."""

    file = "stats.json"
    where = "`stats`, which `udaseg data stats` writes"

    classes: ClassNames = Field(description=ORDER)
    pixels: ClassCounts = Field(description="pixels in all images; ignored pixels are not counted")
    images: Annotated[list[Count] | None, Shape("C")] = conditional(OWN_COUNTS, "images that show the class")
    per_image: dict[str, ClassCounts] | None = conditional(OWN_COUNTS, "the pixels of one image, by class")


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


class Metrics(Document):
    """Counted in integers over all images at the labels' own size."""

    file = "metrics.json"
    where = "`evaluate`"

    classes: ClassNames = Field(description=ORDER)
    iou: Annotated[list[Share | None], Shape("C")] = Field(
        description="intersection over union; null for a class that is neither true nor predicted anywhere"
    )
    miou: Share | None = Field(description="the mean IoU of the classes that occur")
    miou16: Share | None = Field(description="over the 16 classes of SYNTHIA, where the space has them")
    miou13: Share | None = Field(description="over 13 of them, where the space has them")
    pixel_accuracy: Share | None = Field(description="the share of pixels with the right class")
    absent: list[str] = Field(description="the classes without an IoU")
    confusion: Annotated[list[list[Count]], Shape(("C", "C"))] = Field(description="pixels; a row for each true class")
    images: Count = Field(description="images that were scored")
    convention: str = Field(description="how the numbers are counted, in words")
    depth: DepthMetrics | None = conditional(DEPTH, "the errors of the estimated depth")


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
    classes: ClassNames = Field(description=ORDER)
    variants: dict[str, Variant]
