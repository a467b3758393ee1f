"""thresholds.json: the thresholds of pseudo-labels."""

from typing import Annotated, Any

from pydantic import Field

from udaseg.io.documents.read import (
    CLASS_ORDER,
    ClassCounts,
    ClassNames,
    Document,
    NotNegative,
    Shape,
    Share,
    conditional,
)

SHARED_THRESHOLDS = "st, st-sp, cbst, cbst-sp, percentile"


class Thresholds(Document):
    """The thresholds by which the labels beside it were chosen."""

    file = "thresholds.json"
    where = "`pseudolabel`"

    policy: str = Field(description="st, st-sp, cbst, cbst-sp, percentile or iast")
    p: NotNegative | None = Field(description="the share of pixels to label in this round; null for iast")
    classes: ClassNames = Field(description=CLASS_ORDER)
    threshold: Annotated[list[Share], Shape("C")] = Field(
        description="the least probability of a labelled pixel of the class; iast: the thresholds of the last image"
    )
    predicted: ClassCounts = Field(description="pixels by plain argmax")
    kept: ClassCounts = Field(description="pixels in the written labels")
    p_step: NotNegative | None = conditional(SHARED_THRESHOLDS, "what each round adds to p")
    p_max: NotNegative | None = conditional(SHARED_THRESHOLDS, "the largest p")
    stride: int | None = conditional(SHARED_THRESHOLDS, "the distance of the pixels that give the thresholds")
    cap: Share | None = conditional("percentile", "the largest threshold")
    iast: dict[str, Any] | None = conditional("iast", "the settings of the policy")
    prior_peak: Annotated[list[NotNegative] | None, Shape("C")] = conditional(
        "st-sp, cbst-sp", "the prior's largest value by class"
    )
    round: int = Field(description="of self-training, from 1")
