"""The sections of the stages that train."""

from typing import Annotated, Literal

from pydantic import Field

from udaseg.config.fields import (
    AdaBN,
    Count,
    Decay,
    Fraction,
    HxW,
    NonNegative,
    NonNegativeInt,
    Positive,
    Precision,
    Section,
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

    steps: NonNegativeInt = Field(100_000, description="Training steps.")
    batch: Count = Field(2, description="Images of each domain in a training step.")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="The optimizer: sgd or adamw.")
    lr: Positive = Field(2.5e-4, description="The learning rate of the backbone.")
    head_lr: Positive = Field(10.0, description="The learning rate of the heads, as a multiple of the backbone's.")
    momentum: Fraction = Field(0.9, description="The momentum of sgd.")
    weight_decay: NonNegative = Field(5e-4, description="The weight decay of the optimizer.")
    power: NonNegative = Field(0.9, description="The exponent of the polynomial decay of the learning rate.")
    horizon: Count | None = Field(
        None, description="The step at which the learning rate's decay reaches zero; default: the last step."
    )
    warmup_steps: NonNegativeInt = Field(0, description="Steps in which the learning rate rises linearly.")
    precision: Precision = Field("auto", description="The number format of training: auto, fp32 or bf16.")
    save_every: Count = Field(1000, description="Steps between two checkpoints.")
    log_every: Count = Field(50, description="Steps between two lines of the training log.")
    augment: Augment = Field(Augment(), description="The random changes of training images.")
    # adabn: how batch norm treats the two domains
    #   false  one set of statistics, of the mixed batch
    #   true   statistics of its own for each domain, in every layer; the saved model has the target's
    #   stem   as true, in the first normalisation layer only
    #   after  mixed in training; replaced by the target's, in all layers, when training ends
    adabn: AdaBN | Literal["after"] = Field(
        False, description="Batch norm's statistics for each domain by itself: false, true, stem or after."
    )

    @property
    def domain_specific_bn(self) -> AdaBN:
        """The layers in which each domain has statistics of its own during training."""
        return False if self.adabn == "after" else self.adabn


class Warmup(Training):
    """The first training, on the labelled source."""

    source: Literal["source", "stylize"] = Field(
        "source", description="The source images to train on: source, as they are, or stylize."
    )
    fda: Annotated[float, Field(gt=0.0, lt=0.5)] | None = Field(
        None, description="Give each drawn source image a random target style, with this FDA beta; default: none."
    )
    entropy_weight: Positive | None = Field(
        None, description="The weight of FDA's robust entropy penalty on the target; default: no penalty."
    )
    # The weight is 1 / (C f) for a class with the share f of the pixels.
    class_weights: bool = Field(False, description="Weight the source's cross-entropy by the inverse class frequency.")
    class_balanced: bool = Field(
        False, description="Draw source images class by class, rare classes as often as others (FADA)."
    )


class Adversary(Section):
    """The discriminator between the domains, and what it looks at while `warmup` trains."""

    align: Literal["none", "output", "entropy", "fine-grained", "fused"] = Field(
        "none",
        description="What a discriminator compares between the domains: none, output, entropy, fine-grained or fused.",
    )
    loss: Literal["vanilla", "least-squares"] = Field(
        "vanilla", description="The adversarial loss: vanilla or least-squares."
    )
    discriminator: Literal["full", "light"] = Field(
        "full", description="The discriminator of maps: full or light; fine-grained alignment has its own."
    )
    weight: Positive = Field(0.001, description="The weight of the adversarial loss in the network's loss.")
    # AdaptSegNet, multi-level: 0.0002.
    auxiliary: Positive | None = Field(
        None, description="The weight of a second adversarial loss, on the first inner classifier; default: none."
    )
    lr: Positive = Field(1e-4, description="The learning rate of the discriminator, which Adam trains.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.99), description="The two betas of the discriminator's Adam.")


class Depth(Section):
    """The losses of the heads for depth and density while `warmup` trains (depth distribution)."""

    regression: Positive = Field(0.005, description="The weight of the loss on the source's depth.")
    balance: Positive = Field(0.01, description="The weight of the loss on the source's density.")
    target_balance: Positive = Field(0.05, description="The weight of the loss on the target's density.")
    # The published loss counts invalid depth as 65536.
    mask_invalid: bool = Field(True, description="Leave pixels without a valid depth out of the loss.")
