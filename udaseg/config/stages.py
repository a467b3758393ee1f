"""The sections of the stages that do not train."""

from typing import Annotated, Literal

from pydantic import Field

from udaseg.config.fields import AdaBN, Count, Fraction, HxW, Positive, Section, Share


class Stylize(Section):
    beta: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.01
    window: Literal["square", "rect"] = "square"


class Views(Section):
    """How a trained network looks at an image: once, or at several scales and mirrored, with the scores averaged."""

    batch: Count = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    scales: Annotated[tuple[Annotated[float, Field(ge=0.1, le=10.0)], ...], Field(min_length=1)] = (1.0,)
    flip: bool = False
    average: Literal["logits", "probs"] = "logits"


class Predict(Views):
    # Take batch norm's statistics from these images first: bn=train left it the source's. `stem`: those of the layer
    # that images meet first. `first`: in the first round only, for later models were trained on the target too.
    adabn: AdaBN | Literal["first"] = False


class Prior(Section):
    """Where in the image each class stands in the source; kernel and sigma are pixels of a 1024x2048 image."""

    size: HxW | None = None  # of the labels it is for; that of the target's images when absent
    stride: Count = 8  # a cell of the maps is so many pixels high and wide
    kernel: Positive = 70.0
    sigma: Positive | None = None  # a sixth of the kernel when absent
    norm: Literal["mean", "sum", "max"] = "mean"


class Iast(Section):
    """Image-adaptive thresholds (IAST)."""

    start: Share = 0.9
    alpha: Fraction = 0.2  # the share to keep of a class whose threshold is 1
    beta: Fraction = 0.9  # how much of the thresholds is left after an image
    gamma: Annotated[float, Field(ge=0.0)] = 8.0  # how much less to keep of classes with low thresholds


class Pseudolabel(Section):
    policy: Literal["st", "cbst", "cbst-sp", "iast"] = "cbst"
    p: Share = 0.2  # in round 1
    p_step: Fraction = 0.05  # more in each further round
    p_max: Share = 0.5  # up to here
    stride: Count = 1  # of the pixels from which thresholds are estimated; the CBST authors use 4
    iast: Iast = Iast()


class Refine(Section):
    spatial_prior: bool = False
    prototypes: bool = False
    first: Literal["prototypes", "spatial_prior"] = "prototypes"  # where both are chosen
    pixels: Literal["labelled", "all"] = "labelled"  # on which the prototypes decide anew; ProDA: all
    temperature: Positive = 1.0  # of the softmax over the distances to the prototypes
    confidence: Fraction = 0.9  # of the spatial prior: pixels of a lower one lose their label
    base0: Annotated[int, Field(ge=0)] = 50
    base1: Annotated[int, Field(ge=0)] = 4950
    scale_with_area: bool = False


class Prototypes(Section):
    domain: Literal["source", "target", "both"] = "target"


class Gmm(Section):
    components: Count = 5
    grid: HxW | None = None  # stride 8 of the source size when absent
    iterations: Count = 100
    compat: bool = False  # keep what is no measurement, and needles of variance 1e-6, as the published tables do


class Evaluate(Views):
    size: HxW | None = None  # images are seen at this size; the target's when absent
