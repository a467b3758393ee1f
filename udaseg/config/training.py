"""The network, and the sections of the stages that train it."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from udaseg.config.fields import (
    AdaBN,
    BnMode,
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
from udaseg.config.networks import DECODERS, ENCODERS, NETWORKS, SMP, SMP_NAMES
from udaseg.errors import did_you_mean

# Two ways to choose a network: a published one by its name, or any encoder and decoder.
BY_NAME = ("name", "backbone")
BY_ENCODER = ("encoder", "decoder", "stride", "width", "drop_path")


class Model(Section):
    """The network: `name` and `backbone`, or `encoder` and `decoder`."""

    name: Literal[NETWORKS] = Field("deeplab", description=f"The architecture of the network: {', '.join(NETWORKS)}.")
    backbone: Literal[tuple(ENCODERS)] = Field(
        "resnet101", description=f"The encoder of the network: {', '.join(ENCODERS)}."
    )
    encoder: str | None = Field(
        None, description="Any encoder of timm by its name, mit_b0 to mit_b5, or a backbone; instead of name, backbone."
    )
    decoder: str = Field("fpn", description=f"The decoder of the encoder: {', '.join(DECODERS)}, or smp/NAME.")
    stride: Literal[8, 16, 32] = Field(32, description="The stride of the encoder's last map: 8, 16 or 32.")
    width: Count | None = Field(None, description="The channels inside the decoder; default: the decoder's own.")
    drop_path: Decay = Field(0.0, description="The probability of skipping a block of the encoder in training.")
    weights: str = Field("imagenet", description="The weights to start from: imagenet, none, pip:PACKAGE, or a file.")
    bn: BnMode = Field(
        "affine-frozen", description="Batch norm of the backbone in training: train, affine-frozen or frozen."
    )
    aspp: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        (6, 12, 18, 24), description="The dilations of the branches of deeplab's classifier (ASPP)."
    )
    # auto is the default with an encoder
    color: Literal["auto", "rgb-imagenet", "bgr-mean", "rgb", "rgb-half", "rgb-clip"] = Field(
        "rgb-imagenet",
        description="How colours are normalised: rgb-imagenet, bgr-mean, rgb, rgb-half, rgb-clip, or auto, as the "
        "encoder was trained.",
    )
    # deeplab and fpn gain a second classifier on layer 3 with it (AdaptSegNet, multi-level: 0.1). bisenet always has
    # two inner classifiers, whose loss counts 1 without it.
    auxiliary: Positive | None = Field(None, description="The weight of the loss of classifiers on inner layers.")
    heads: tuple[Literal["depth", "density"], ...] = Field(
        (), description="What the network estimates beside the classes: [], [depth] or [depth, density]."
    )

    @property
    def architecture(self) -> str:
        """The decoder of the network, however the network was chosen."""
        return self.name if self.encoder is None else self.decoder

    @property
    def encoder_name(self) -> str:
        """The encoder of the network, however the network was chosen."""
        return self.encoder or self.backbone

    @model_validator(mode="before")
    @classmethod
    def _take_the_colour_of_the_encoder(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("encoder") is not None:
            return {"color": "auto", **values}
        return values

    @model_validator(mode="after")
    def _require_one_way_to_choose(self) -> "Model":
        other = BY_ENCODER[1:] if self.encoder is None else BY_NAME
        if names := [name for name in other if name in self.model_fields_set]:
            reason = "needs an encoder" if self.encoder is None else "and encoder are two ways to choose a network"
            raise ValueError(f"{' and '.join(names)} {reason}; set encoder and decoder, or name and backbone")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_the_other_way(self, handler: Any) -> dict[str, Any]:
        other = BY_ENCODER if self.encoder is None else BY_NAME
        return {name: value for name, value in handler(self).items() if name not in other}

    @field_validator("decoder")
    @classmethod
    def _require_known_decoder(cls, decoder: str) -> str:
        known = [*DECODERS, *(SMP + name for name in SMP_NAMES)]
        if decoder not in known:
            raise ValueError(
                f"there is no decoder {decoder!r}; {did_you_mean(decoder, known)}known: {', '.join(known)}"
            )
        return decoder

    @field_validator("heads")
    @classmethod
    def _require_depth_before_density(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        if heads not in ((), ("depth",), ("depth", "density")):
            raise ValueError("expected [], [depth] or [depth, density]; the target's density follows from its depth")
        return heads


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
