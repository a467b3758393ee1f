"""The network, and the sections of the stages that train it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from udaseg.config.fields import AdaBN, BnMode, Count, Decay, Fraction, HxW, Positive, Section, Share


class Model(Section):
    name: Literal["deeplab", "bisenet", "fpn"] = "deeplab"
    backbone: Literal["resnet18", "resnet50", "resnet101"] = "resnet101"
    weights: str = "imagenet"  # imagenet, none, or a file
    bn: BnMode = "affine-frozen"
    aspp: Annotated[tuple[Count, ...], Field(min_length=1)] = (6, 12, 18, 24)  # the dilations of deeplab's branches
    color: Literal["rgb-imagenet", "bgr-mean", "rgb"] = "rgb-imagenet"
    # How much the loss of classifiers on inner layers counts: that of a second one, on layer 3, which this adds to
    # deeplab (AdaptSegNet, multi-level: 0.1) and fpn; those of the two that bisenet has anyway, each 1 when absent.
    auxiliary: Positive | None = None
    heads: tuple[Literal["depth", "density"], ...] = ()  # what it estimates beside the classes; `warmup` teaches it

    @field_validator("heads")
    @classmethod
    def _known(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        if heads not in ((), ("depth",), ("depth", "density")):
            raise ValueError("expected [], [depth] or [depth, density]; the target's density follows from its depth")
        return heads


class Augment(Section):
    crop: HxW | None = None
    scale: tuple[Positive, Positive] = (1.0, 1.0)  # random resize, uniform, before the crop
    flip: Fraction = 0.5
    jitter: Fraction = 0.0  # strength of brightness, contrast, saturation and hue changes
    blur: Fraction = 0.0  # probability of a Gaussian blur


class Training(Section):
    steps: Annotated[int, Field(ge=0)] = 100_000
    batch: Count = 2
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 2.5e-4
    head_lr: Positive = 10.0  # the learning rate of the heads, times that of the backbone
    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0.0)] = 5e-4
    power: Annotated[float, Field(ge=0.0)] = 0.9  # poly decay
    horizon: Count | None = None  # steps at which the poly decay reaches zero; `steps` when absent
    warmup_steps: Annotated[int, Field(ge=0)] = 0  # linear rise of the learning rate
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    save_every: Count = 1000
    log_every: Count = 50
    augment: Augment = Augment()
    # Batch norm's statistics for each domain by itself, while it trains; in the end those of the target's images.
    # `stem`: in the layer that images meet first, where colour and contrast are, and in no other. `after`: those of
    # the target's images in the end, in all layers, and of both domains together while it trains.
    adabn: AdaBN | Literal["after"] = False

    @property
    def domain_specific_bn(self) -> AdaBN:
        """The layers in which the domains have statistics of their own while it trains."""
        return False if self.adabn == "after" else self.adabn


class Warmup(Training):
    source: Literal["source", "stylize"] = "source"
    fda: Annotated[float, Field(gt=0.0, lt=0.5)] | None = None  # a target's style for each draw of the source: beta
    entropy_weight: Positive | None = None  # of FDA's robust entropy penalty on the target
    class_weights: bool = False  # weigh the source's cross-entropy by 1 / (C f), f the share of a class of C
    class_balanced: bool = False  # draw source images class by class, the rare ones as often as the others (FADA)


class Adversary(Section):
    """What a discriminator is to find no difference in between the domains, while `warmup` trains."""

    align: Literal["none", "output", "entropy", "fine-grained", "fused"] = "none"
    loss: Literal["vanilla", "least-squares"] = "vanilla"
    discriminator: Literal["full", "light"] = "full"  # of maps; `fine-grained` has its own
    weight: Positive = 0.001  # of the adversarial term in what the network minimises
    auxiliary: Positive | None = None  # the same on the first inner classifier (AdaptSegNet, multi-level: 0.0002)
    lr: Positive = 1e-4  # of the discriminator, which learns by Adam
    betas: tuple[Decay, Decay] = (0.9, 0.99)


class Depth(Section):
    """What the heads for depth and density learn while `warmup` trains (depth distribution)."""

    regression: Positive = 0.005  # the weight of the source's depth
    balance: Positive = 0.01  # of the source's density
    target_balance: Positive = 0.05  # of the target's density
    mask_invalid: bool = True  # leave out depth that is no measurement; the published loss has it as 65536


class Strong(Section):
    """How the student's view of the target differs from the teacher's, which is as `augment` leaves it."""

    jitter: Fraction = 0.2  # as in `augment`
    blur: Fraction = 0.5


class Online(Section):
    """Labels of the target that are made anew at every step, from the teacher's view of it."""

    # Whose scores decide: the teacher's, or those of the model that retraining starts from (ProDA).
    scores: Literal["teacher", "initial"] = "teacher"
    rectify: bool = False  # weigh them by the nearness of the teacher's features to prototypes that move with it
    pixels: Literal["all", "labelled", "unlabelled"] = "all"  # by the labels there are, which count for the others
    confidence: Fraction = 0.968
    # Less confident labels: weigh all of an image's by the share of the confident ones (DACS), or ignore them.
    unsure: Literal["weigh", "ignore"] = "weigh"


class Retrain(Training):
    source: Literal["source", "stylize", "none"] = "source"
    labels: Literal["refine", "pseudolabel", "none"] = "refine"
    init: Literal["warmup", "weights"] = "warmup"
    target_weight: Positive = 1.0
    lr_per_round: Positive = 1.0  # the learning rate of a round, times that of the round before
    source_fraction: Share = 1.0  # of the source images, in round 1
    source_fraction_step: Fraction = 0.0
    source_fraction_max: Share = 1.0
    regulariser: Literal["none", "mrkld", "mrent", "lrent"] = "none"
    # What the regulariser is multiplied by; for lrent its alpha. When absent 0.01, for lrent 0.25. The 0.1 published
    # for MRKLD was multiplied in twice and acted as 0.01.
    effective_weight: Positive | None = None
    mine: Fraction = 0.0  # how often a target crop is centred on a rare class; the CBST authors use 0.8
    mine_below: Fraction = 1e-3  # rare is a class with a lower share of the predicted pixels
    bn: BnMode | None = None  # of the backbone in this stage; the model's when absent
    loss: Literal["cross-entropy", "symmetric"] = "cross-entropy"  # on the labels of the target
    teacher: Fraction | None = None  # the momentum at which an average follows the student; published values 0.999
    keep: Literal["student", "teacher"] = "student"  # which of the two becomes model.pt
    strong: Strong | None = None
    online: Online | None = None
    classmix: bool = False  # paste half of the classes of a source image on each target image
    consistency: Positive | None = None  # the weight of being as near to the prototypes in both views (ProDA: 10 / C)
    temperature: Positive = 1.0  # of the softmax over the distances to the prototypes
    prototype_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9999

    @property
    def reads_labels(self) -> bool:
        """Whether stored labels count: not where all pixels are labelled online, and no crop is placed by them."""
        anew = self.online is not None and self.online.pixels == "all" and not self.mine
        return self.labels != "none" and not anew

    @property
    def moves_prototypes(self) -> bool:
        """Whether there are prototypes that move with a teacher."""
        return self.consistency is not None or (self.online is not None and self.online.rectify)


class Distill(Training):
    """What a fresh student learns: the source, and what the finished model says of the target (ProDA)."""

    source: Literal["source", "stylize", "none"] = "source"
    weights: str | None = None  # the student's first, as in `model`, whose they are when absent
    confidence: Fraction = 0.95  # of the labels it is given; less confident pixels have none
    flip: bool = True  # what the finished model says is the mean with what it says of the mirror image
    target_weight: Positive = 1.0  # of these labels
    soft_weight: Annotated[float, Field(ge=0.0)] = 1.0  # of the divergence from its probabilities, on all pixels
    strong: Strong | None = None
