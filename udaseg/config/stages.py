"""The sections of the stages that do not train."""

from typing import Annotated, Literal

from pydantic import Field

from udaseg.config.fields import (
    AdaBN,
    Count,
    Fraction,
    HxW,
    NonNegative,
    NonNegativeInt,
    Positive,
    Precision,
    Section,
    Share,
)
from udaseg.config.policies import POLICIES


class Stylize(Section):
    """How `stylize` gives source images the style of target images (FDA)."""

    beta: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.01, description="Half the width of the swapped frequency window, as a fraction of the shorter image side."
    )
    window: Literal["square", "rect"] = Field(
        "square", description="The shape of the frequency window: square, as in the published code, or rect."
    )


class Views(Section):
    """How a trained network looks at an image: once, or at several scales and mirrored, then averaged."""

    batch: Count = Field(1, description="Images of one size that go through the network at a time.")
    precision: Precision = Field("auto", description="The number format of the network: auto, fp32 or bf16.")
    scales: Annotated[tuple[Annotated[float, Field(ge=0.1, le=10.0)], ...], Field(min_length=1)] = Field(
        (1.0,), description="Average the network's output over these image scales: 0.9,1.0,1.2."
    )
    flip: bool = Field(False, description="Average the network's output with that of the mirrored image.")
    average: Literal["logits", "probs"] = Field(
        "logits", description="What is averaged over scales and mirrored images: logits or probs."
    )


class Predict(Views):
    """How `predict` stores the logits of every target image."""

    # adabn: which statistics batch norm uses
    #   false  those of the model; after training with bn=train they are mainly the source's
    #   true   those of the target images, in every layer
    #   stem   those of the target images, in the first normalisation layer only
    #   first  as true in round 1, as false after it: later models were trained on the target too
    adabn: AdaBN | Literal["first"] = Field(
        False, description="Estimate batch norm's statistics on the target images first: false, true, stem or first."
    )


class Prior(Section):
    """Where in the image each class stands in the source."""

    size: HxW | None = Field(
        None, description="Height and width of the images that the prior is for; default: the target's size."
    )
    stride: Count = Field(8, description="The height and width of a cell of the prior's maps, in pixels.")
    kernel: Positive = Field(70.0, description="The size of the smoothing Gaussian, in pixels of a 1024x2048 image.")
    sigma: Positive | None = Field(
        None,
        description="The Gaussian's standard deviation, in the same pixels as its size; default: a sixth of that.",
    )
    norm: Literal["mean", "sum", "max"] = Field(
        "mean", description="What is scaled to 1 in each map: its mean, sum or max."
    )


class Iast(Section):
    """Image-adaptive thresholds (IAST)."""

    start: Share = Field(0.9, description="The threshold of every class before the first image.")
    alpha: Fraction = Field(0.2, description="The share of pixels to keep of a class whose threshold is 1.")
    beta: Fraction = Field(0.9, description="The weight of the old thresholds when an image updates them.")
    gamma: NonNegative = Field(8.0, description="How strongly the kept share falls for classes with low thresholds.")


class Pseudolabel(Section):
    """Which predictions become pseudo-labels."""

    policy: Literal[tuple(POLICIES)] = Field(
        "cbst",
        description="st: one threshold; cbst: one a class; cbst-sp: with a spatial prior; iast: moving ones.",
    )
    p: Share = Field(0.2, description="The share of pixels to keep of each class, in round 1.")
    p_step: Fraction = Field(0.05, description="How much the kept share grows in each further round.")
    p_max: Share = Field(0.5, description="The largest share of pixels to keep, in any round.")
    # The CBST authors use 4.
    stride: Count = Field(1, description="Estimate thresholds from every n-th pixel of a class.")
    iast: Iast = Field(Iast(), description="The settings of the policy iast.")


class Refine(Section):
    """What is taken out of the pseudo-labels because it is likely wrong."""

    aggregate: bool = Field(False, description="Remove the labels of unsure pixels and of small components.")
    prototypes: bool = Field(False, description="Choose the class of pixels again by the distance to prototypes.")
    first: Literal["prototypes", "aggregate"] = Field(
        "prototypes", description="Which of the two refinements comes first: prototypes or aggregate."
    )
    # ProDA decides on all pixels.
    pixels: Literal["labelled", "all"] = Field(
        "labelled", description="The pixels that prototypes decide on: labelled or all."
    )
    temperature: Positive = Field(1.0, description="The temperature of the softmax over distances to prototypes.")
    confidence: Fraction = Field(0.9, description="Remove the labels of pixels with a lower confidence than this.")
    base0: NonNegativeInt = Field(50, description="The pixels that a component of the rarest class must have.")
    base1: NonNegativeInt = Field(
        4950, description="The further pixels that a component of the most common class must have."
    )
    scale_with_area: bool = Field(
        False, description="Scale the component sizes by the image area over 1280x760 pixels."
    )

    @property
    def steps(self) -> tuple[str, ...]:
        """The chosen refinements, in their order."""
        order = ("prototypes", "aggregate") if self.first == "prototypes" else ("aggregate", "prototypes")
        return tuple(name for name in order if getattr(self, name))


class Prototypes(Section):
    """Over which images the mean features are taken."""

    domain: Literal["source", "target", "both"] = Field(
        "target", description="The domain whose features are averaged for each class: source, target or both."
    )


class Gmm(Section):
    """The mixtures over column, row and inverse depth, one for each class of the source."""

    components: Count = Field(5, description="Gaussians in the mixture of each class.")
    grid: HxW | None = Field(
        None, description="Rows and columns of the mixture's grid; default: the source size divided by 8."
    )
    iterations: Count = Field(100, description="The largest number of iterations of expectation maximisation.")
    compat: bool = Field(
        False,
        description="Keep invalid depth values and variances down to 1e-6, as the published tables do.",
    )


class Evaluate(Views):
    """How the model is evaluated on the labelled target images."""

    size: HxW | None = Field(
        None, description="Height and width at which the network sees the images; default: the target's size."
    )
