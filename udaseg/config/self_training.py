"""The sections of the trainings that learn labels of the target: retrain and distill."""

from typing import Literal

from pydantic import Field

from udaseg.config.fields import BnMode, Decay, Fraction, NonNegative, Positive, Section, Share
from udaseg.config.training import Training


class Strong(Section):
    """How the student's view of the target differs from the teacher's."""

    jitter: Fraction = Field(0.2, description="The strength of the colour changes in the student's view of the target.")
    blur: Fraction = Field(0.5, description="The probability of a blur in the student's view of the target.")


class Online(Section):
    """Target labels that are made anew at every step, from the teacher's view."""

    scores: Literal["teacher", "initial"] = Field(
        "teacher", description="The model that labels online: the teacher, or the initial model of retraining (ProDA)."
    )
    rectify: bool = Field(False, description="Weight online labels by the distance to moving prototypes (ProDA).")
    pixels: Literal["all", "labelled", "unlabelled"] = Field(
        "all", description="The pixels to label online, by their stored labels: all, labelled or unlabelled."
    )
    confidence: Fraction = Field(0.968, description="The confidence from which an online label is sure.")
    # weigh: the labels of an image count by its share of sure ones (DACS).
    unsure: Literal["weigh", "ignore"] = Field(
        "weigh", description="Unsure online labels: weigh all by the image's share of sure ones, or ignore them."
    )


class Retrain(Training):
    """The training on the source and on the pseudo-labelled target."""

    source: Literal["source", "stylize", "none"] = Field(
        "source", description="The source images to train on: source, as they are, stylize, or none."
    )
    labels: Literal["refine", "pseudolabel", "none"] = Field(
        "refine", description="The stage whose pseudo-labels are learnt: refine, pseudolabel or none."
    )
    init: Literal["warmup", "weights"] = Field(
        "warmup",
        description="What retraining starts from: warmup, the model before it, or weights, those of model.weights.",
    )
    target_weight: Positive = Field(1.0, description="The weight of the loss on the target's labels.")
    lr_per_round: Positive = Field(1.0, description="The factor of the learning rate from one round to the next.")
    source_fraction: Share = Field(1.0, description="The share of source images to train on, in round 1.")
    source_fraction_step: Fraction = Field(
        0.0, description="How much the share of source images grows in each further round."
    )
    source_fraction_max: Share = Field(1.0, description="The largest share of source images, in any round.")
    regulariser: Literal["none", "mrkld", "mrent", "lrent"] = Field(
        "none", description="The confidence regulariser (CRST): none, mrkld, mrent or lrent."
    )
    # The 0.1 published for MRKLD was multiplied in twice and acted as 0.01.
    effective_weight: Positive | None = Field(
        None, description="The weight of the regulariser, or alpha of lrent; default: 0.01, and 0.25 for lrent."
    )
    # The CBST authors use 0.8.
    mine: Fraction = Field(0.0, description="The probability of centring a target crop on a rare class.")
    mine_below: Fraction = Field(1e-3, description="A class is rare with less than this share of the predicted pixels.")
    bn: BnMode | None = Field(
        None, description="Batch norm of the backbone in retraining: train, affine-frozen or frozen; default: model.bn."
    )
    loss: Literal["cross-entropy", "symmetric"] = Field(
        "cross-entropy", description="The loss on the target's labels: cross-entropy or symmetric."
    )
    # Published values: 0.999.
    teacher: Fraction | None = Field(
        None, description="The momentum of a teacher, an average of the student over time; default: no teacher."
    )
    keep: Literal["student", "teacher"] = Field(
        "student", description="Which of the two networks becomes model.pt: student or teacher."
    )
    strong: Strong | None = Field(None, description="Stronger random changes for the student's view of the target.")
    online: Online | None = Field(None, description="Labels of the target that are made anew at every step.")
    classmix: bool = Field(False, description="Paste half of the classes of a source image on each target image.")
    # ProDA: 10 / C.
    consistency: Positive | None = Field(
        None, description="The weight of the loss for equal distances to prototypes in both views; default: none."
    )
    temperature: Positive = Field(
        1.0, description="The temperature of the softmax over distances to moving prototypes."
    )
    prototype_momentum: Decay = Field(0.9999, description="The momentum of the moving prototypes.")

    @property
    def reads_labels(self) -> bool:
        """Whether stored labels count: not where all pixels are labelled online, and no crop is placed by them."""
        all_online = self.online is not None and self.online.pixels == "all" and not self.mine
        return self.labels != "none" and not all_online

    @property
    def needs_whole_batches(self) -> bool:
        """Whether something labels or changes whole batches before the student sees them: one process does it."""
        changes = (self.teacher, self.online, self.strong)
        return any(change is not None for change in changes) or self.classmix or self.moves_prototypes

    @property
    def uses_initial_model(self) -> bool:
        """Whether the model that retraining starts from predicts again while the student learns."""
        return self.online is not None or self.moves_prototypes or self.regulariser == "lrent"

    @property
    def moves_prototypes(self) -> bool:
        """Whether there are prototypes that move with a teacher."""
        return self.consistency is not None or (self.online is not None and self.online.rectify)


class Distill(Training):
    """How a fresh student learns from the source and from the finished model (ProDA)."""

    source: Literal["source", "stylize", "none"] = Field(
        "source", description="The source images to train on: source, as they are, stylize, or none."
    )
    weights: str | None = Field(
        None,
        description="The weights the student starts from: imagenet, none, pip:PACKAGE, or a file; "
        "default: model.weights.",
    )
    confidence: Fraction = Field(0.95, description="The confidence from which a pixel gets the teacher's label.")
    flip: bool = Field(True, description="Average the teacher's output with that of the mirrored image.")
    target_weight: Positive = Field(1.0, description="The weight of the loss on the teacher's labels.")
    soft_weight: NonNegative = Field(
        1.0, description="The weight of the divergence from the teacher's probabilities, over all pixels."
    )
    strong: Strong | None = Field(None, description="Stronger random changes for the student's view of the target.")
