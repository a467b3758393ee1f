"""The section of the network: an encoder and a decoder, or a published network by name."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from udaseg.config.fields import (
    BnMode,
    Count,
    Decay,
    InputHxW,
    Positive,
    Section,
)
from udaseg.config.networks import DECODERS, ENCODERS, NETWORKS, SMP, SMP_NAMES
from udaseg.errors import did_you_mean

# Two ways to choose a network: a published one by its name, or any encoder and decoder.
BY_NAME = ("name", "backbone")
BY_ENCODER = ("encoder", "decoder", "stride", "width", "drop_path")


class Model(Section):
    """The network: `name` and `backbone`, or `encoder` and `decoder`."""

    later: ClassVar[frozenset[str]] = frozenset({"detail", "detail_weight"})

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
        (6, 12, 18, 24), description="The dilations of the branches of deeplab and aspp."
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
    # target_depth: a second head for depth, which learns that of the target (CorDA)
    heads: tuple[Literal["depth", "density", "target_depth"], ...] = Field(
        (),
        description="What the network estimates beside the classes: [], [depth], [depth, density] or "
        "[depth, target_depth].",
    )
    # HRDA: one network sees the image at half its resolution, and crops of this size at full resolution
    detail: InputHxW | None = Field(
        None, description="Height and width of the crops seen at full resolution beside the image at half of it (HRDA)."
    )
    detail_weight: Decay = Field(
        0.1, description="The share of the detail's own loss; the rest is that of the fused logits (HRDA)."
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

    @model_validator(mode="after")
    def _require_detail_to_fit(self) -> "Model":
        is_published_deeplab = self.encoder is None and self.name == "deeplab"
        if self.detail is not None and (is_published_deeplab or self.architecture.startswith(SMP)):
            raise ValueError(
                f"detail needs a decoder without align_corners, and {self.architecture} has it; set encoder, and "
                "decoder=daformer, segformer or fpn"
            )
        return self

    @field_validator("heads")
    @classmethod
    def _require_depth_before_others(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        if heads not in ((), ("depth",), ("depth", "density"), ("depth", "target_depth")):
            raise ValueError(
                "expected [], [depth] or [depth, density], or [depth, target_depth]; the target's density follows from "
                "its depth, and target_depth is compared with depth"
            )
        return heads
