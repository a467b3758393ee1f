"""What all trainings share: steps, optimizer, learning rate, random changes of the images."""

from typing import ClassVar, Literal

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


class Augment(Section):
    """The random changes of a training image."""

    crop: HxW | None = Field(None, description="Height and width of random crops; default: whole images.")
    scale: tuple[Positive, Positive] = Field(
        (1.0, 1.0), description="The range of the random resize before the crop, drawn uniformly."
    )
    flip: Fraction = Field(0.5, description="The probability of mirroring an image.")
    jitter: Fraction = Field(
        0.0, description="The strength of random changes of brightness, contrast, saturation and hue."
    )
    blur: Fraction = Field(0.0, description="The probability of a Gaussian blur.")


class Training(Section):
    """What all trainings share."""

    later: ClassVar[frozenset[str]] = frozenset({"accumulate", "compile", "keep_last", "no_decay", "layer_decay"})
    without_effect: ClassVar[frozenset[str]] = frozenset({"activation_checkpointing"})

    steps: NonNegativeInt = Field(100_000, description="Training steps.")
    batch: Count = Field(2, description="Images of each domain in a training step.")
    # Less memory, and the gradients of the whole batch; but batch norm sees one part at a time.
    accumulate: Count = Field(
        1, description="The parts in which a batch goes through the network, one after another, to save memory."
    )
    activation_checkpointing: bool = Field(
        False, description="Keep the inputs of the encoder's blocks alone, and compute the rest again, to save memory."
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="The optimizer: sgd or adamw.")
    lr: Positive = Field(2.5e-4, description="The learning rate of the backbone.")
    head_lr: Positive = Field(10.0, description="The learning rate of the heads, as a multiple of the backbone's.")
    momentum: Fraction = Field(0.9, description="The momentum of sgd.")
    weight_decay: NonNegative = Field(5e-4, description="The weight decay of the optimizer.")
    no_decay: Literal["none", "norms"] = Field(
        "none", description="What has no weight decay: none, or norms, biases, position embeddings and tokens (norms)."
    )
    # VFM-UDA++ has 0.9.
    layer_decay: Share = Field(
        1.0, description="The factor of the learning rate from each block of the encoder to the block before it."
    )
    power: NonNegative = Field(0.9, description="The exponent of the polynomial decay of the learning rate.")
    horizon: Count | None = Field(
        None, description="The step at which the learning rate's decay reaches zero; default: the last step."
    )
    warmup_steps: NonNegativeInt = Field(0, description="Steps in which the learning rate rises linearly.")
    precision: Precision = Field("auto", description="The number format of training: auto, fp32 or bf16.")
    # Pays where a training is long, and the images of every step have one size. The losses differ by rounding.
    compile: Literal["none", "kernels", "graphs"] = Field(
        "none",
        description="Compile the network: none, kernels (fused ones), or graphs, which a GPU also starts as a whole.",
    )
    save_every: Count = Field(1000, description="Steps between two checkpoints.")
    # The score of a last model is partly luck: that of its neighbours tells how much.
    keep_last: Count = Field(
        1, description="Models to keep from the end of training, one every save_every steps, for evaluate to score."
    )
    log_every: Count = Field(50, description="Steps between two lines of the training log.")
    augment: Augment = Field(Augment(), description="The random changes of training images.")
    # adabn: how batch norm treats the two domains
    #   false     one set of statistics, of the mixed batch; domains of two sizes are treated as with separate
    #   separate  each domain by its own batch in training, as with a pass for each (AdaptSegNet); the saved model has
    #             one set of running statistics, of both in turn
    #   true      statistics of its own for each domain, in every layer; the saved model has the target's
    #   stem      as true, in the first normalisation layer only
    #   after     mixed in training; replaced by the target's, in all layers, when training ends
    adabn: Literal[AdaBN, "after", "separate"] = Field(
        False, description="Batch norm's statistics for each domain by itself: false, separate, true, stem or after."
    )

    @property
    def kept_steps(self) -> tuple[int, ...]:
        """The steps before the last one whose models are kept, the earliest first; none while epochs say the length."""
        if self.steps is None:
            return ()
        latest = (self.steps - 1) // self.save_every * self.save_every
        return tuple(latest - i * self.save_every for i in reversed(range(self.keep_last - 1)))

    @property
    def domain_specific_bn(self) -> Literal[AdaBN, "separate"]:
        """The layers in which each domain is normalised by itself during training; separate is every layer."""
        return False if self.adabn == "after" else self.adabn

    @property
    def saves_target_statistics(self) -> bool:
        """Whether the saved model has batch norm's statistics of the target images."""
        return self.adabn not in (False, "separate")
