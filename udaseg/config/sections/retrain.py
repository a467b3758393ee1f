"""The section `retrain`: the training on pseudo-labels."""

from typing import ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import (
    BnMode,
    Count,
    Decay,
    Fraction,
    HxW,
    NonNegativeInt,
    Positive,
    Share,
    TeacherNorm,
)
from udaseg.config.sections.adaptation import Adaptation
from udaseg.config.sections.depth_losses import DepthLosses
from udaseg.config.sections.feature_distance import FeatureDistance
from udaseg.config.sections.foundation import Foundation
from udaseg.config.sections.masked import Masked
from udaseg.config.sections.online import Online
from udaseg.config.sections.rare import Rare
from udaseg.config.sections.strong import Strong


class Retrain(Adaptation):
    """The training on the source and on the pseudo-labelled target."""

    later: ClassVar[frozenset[str]] = Adaptation.later | {
        "aligned_crops", "depth", "depth_agreement", "draw", "epochs", "fda", "entropy_weight", "entropy_pixels",
        "feature_distance", "foundation", "masked", "passes", "rare", "teacher_norm",
    }  # fmt: skip
    # Results have the size among the target's settings.
    without_effect: ClassVar[frozenset[str]] = Adaptation.without_effect | {"size"}

    steps: NonNegativeInt | None = Field(100_000, description="Training steps; null where epochs say how many.")
    epochs: Count | None = Field(
        None, description="How often to draw each target image, or each image of a joint list; instead of steps."
    )
    # separate: `batch` images of each domain, and a mean over the pixels of each. joint: `batch` images of whatever
    # domains, and one mean over all labelled pixels (CRST).
    draw: Literal["separate", "joint"] = Field(
        "separate", description="How batches are drawn: from separate lists of both domains, or from one joint list."
    )
    size: HxW | None = Field(
        None,
        description="Height and width of target images before scale and crop; default: the target's size.",
    )
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
    # joint: batch norm normalises the mixture of both domains. separate: each domain by itself, and the running
    # statistics follow both (DAFormer); only the maps of one domain are in memory at a time.
    passes: Literal["joint", "separate"] = Field(
        "joint", description="How both domains go through the network: in one joint pass, or in separate passes."
    )
    target_weight: Positive = Field(1.0, description="The weight of the loss on the target's labels.")
    lr_per_round: Positive = Field(1.0, description="The factor of the learning rate from one round to the next.")
    source_fraction: Share = Field(1.0, description="The share of source images to train on, in round 1.")
    source_fraction_step: Fraction = Field(
        0.0, description="How much the share of source images grows in each further round."
    )
    source_fraction_max: Share = Field(1.0, description="The largest share of source images, in any round.")
    entropy_pixels: Literal["all", "unlabelled"] = Field(
        "all", description="The target's pixels whose entropy is penalised: all, or unlabelled (IAST)."
    )
    regulariser: Literal["none", "mrkld", "mrent", "mrl2", "lrent"] = Field(
        "none", description="The confidence regulariser (CRST): none, mrkld, mrent, mrl2 or lrent."
    )
    # The 0.1 published for MRKLD was multiplied in twice and acted as 0.01. None is published for MRL2.
    effective_weight: Positive | None = Field(
        None,
        description="The weight of the regulariser, or alpha of lrent; default: 0.01, 0.25 for lrent, none for mrl2.",
    )
    rare: Rare | None = Field(None, description="Draw source images and crops with rare classes more often (DAFormer).")
    # The CBST authors use 0.8.
    mine: Fraction = Field(0.0, description="The probability of centring a target crop on a rare class.")
    mine_below: Fraction = Field(1e-3, description="A class is rare with less than this share of the predicted pixels.")
    # HRDA: else classmix pastes the top of an image on the bottom of another.
    aligned_crops: bool = Field(False, description="Crop the source and the target images of a batch at one place.")
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
    # average: the averaged running statistics, of the mixture of both domains
    # batch: those of each batch of the target, in every layer (DAFormer)
    # stem: those of each batch, in the first normalisation layer only
    teacher_norm: TeacherNorm = Field(
        "average", description="The statistics of the teacher's batch norm: average, batch or stem."
    )
    keep: Literal["student", "teacher"] = Field(
        "student", description="Which of the two networks becomes model.pt: student or teacher."
    )
    strong: Strong | None = Field(None, description="Stronger random changes for the student's view of the target.")
    online: Online | None = Field(None, description="Labels of the target that are made anew at every step.")
    classmix: bool = Field(False, description="Paste half of the classes of a source image on each target image.")
    masked: Masked | None = Field(None, description="A further pass on the target with blocks hidden (MIC).")
    feature_distance: FeatureDistance | None = Field(
        None, description="A loss that keeps features of things near those of the pre-trained encoder (DAFormer)."
    )
    foundation: Foundation | None = Field(
        None, description="A loss that keeps features near those of a foundation model, on both domains (VFM-UDA++)."
    )
    depth: DepthLosses | None = Field(None, description="Losses on the depth of the source and of the target (CorDA).")
    depth_agreement: bool = Field(
        False, description="Weight the loss on each target label by how far two depth heads agree there (CorDA)."
    )
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
        changes = (
            self.teacher, self.online, self.strong, self.depth,
            self.masked, self.feature_distance, self.foundation,
        )  # fmt: skip
        return any(change is not None for change in changes) or self.classmix or self.moves_prototypes

    @property
    def fitting_block(self) -> int:
        """A side of masked blocks of which a crop has four or more in each direction."""
        return max(1, min(self.augment.crop) // 4)

    @property
    def learns_target_depth(self) -> bool:
        """Whether a depth head learns from the student's target images, where these have a depth."""
        return self.depth is not None and self.depth.target > 0

    @property
    def uses_initial_model(self) -> bool:
        """Whether the model that retraining starts from predicts again while the student learns."""
        return self.online is not None or self.moves_prototypes or self.regulariser == "lrent"

    @property
    def labels_frame_before(self) -> bool:
        """Whether online labels are those of the frame before an image, warped to it."""
        return self.online is not None and self.online.frame == "previous"

    @property
    def moves_prototypes(self) -> bool:
        """Whether there are prototypes that move with a teacher."""
        return self.consistency is not None or (self.online is not None and self.online.rectify)
