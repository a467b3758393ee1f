"""The recipe: one frozen, checked description of an experiment, a section for each stage."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
HxW = tuple[Count, Count]
Name = Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$")]  # of a directory
BnMode = Literal["train", "affine-frozen", "frozen"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Toytown(Section):
    """How much of the embedded world to render where the data root holds none."""

    source: Count = 300
    train: Count = 300
    val: Count = 100
    size: HxW = (256, 512)
    seed: Annotated[int, Field(ge=0)] = 0


class Side(Section):
    @model_validator(mode="after")
    def _pad_needs_a_size(self) -> Self:
        if self.pad and self.size is None:
            raise ValueError("pad=true keeps the aspect of pictures within `size`, and there is no size")
        return self


class Source(Side):
    """The labelled, synthetic side."""

    dataset: str = "gta5"
    root: str | None = None  # relative to the data root; the dataset's name when absent
    split: str = "train"
    list: str | None = None  # a text file that names the pictures to take, all of the split when absent
    limit: Count | None = None
    coding: str | None = None  # of the label ids; only `folder` datasets leave it open
    size: HxW | None = None  # images and labels are resized to this before crops
    pad: bool = False  # keep the aspect within `size`; the rest is black and ignored


class Target(Side):
    """The real side: images to adapt to, and a labelled split that only evaluation opens."""

    dataset: str = "cityscapes"
    root: str | None = None
    split: str = "train"
    val: str = "val"
    list: str | None = None  # of the pictures of `split`
    limit: Count | None = None
    coding: str | None = None
    size: HxW | None = None
    pad: bool = False


class Model(Section):
    name: Literal["deeplab", "bisenet", "fpn"] = "deeplab"
    backbone: Literal["resnet18", "resnet50", "resnet101"] = "resnet101"
    weights: str = "imagenet"  # imagenet, none, or a file
    bn: BnMode = "affine-frozen"
    aspp: tuple[Count, ...] = (6, 12, 18, 24)
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


class Warmup(Training):
    source: Literal["source", "stylize"] = "source"
    fda: Annotated[float, Field(gt=0.0, lt=0.5)] | None = None  # a target's style for each draw of the source: beta
    entropy_weight: Positive | None = None  # of FDA's robust entropy penalty on the target
    class_weights: bool = False  # weigh the source's cross-entropy by 1 / (C f), f the share of a class of C
    class_balanced: bool = False  # draw source pictures class by class, the rare ones as often as the others (FADA)


class Adversary(Section):
    """What a discriminator is to find no difference in between the domains, while `warmup` trains."""

    align: Literal["none", "output", "entropy", "fine-grained", "fused"] = "none"
    loss: Literal["vanilla", "least-squares"] = "vanilla"
    discriminator: Literal["full", "light"] = "full"  # of `output` and `entropy`
    weight: Positive = 0.001  # of the adversarial term in what the network minimises
    auxiliary: Positive | None = None  # the same on the first inner classifier (AdaptSegNet, multi-level: 0.0002)
    lr: Positive = 1e-4  # of the discriminator, which learns by Adam
    betas: tuple[Fraction, Fraction] = (0.9, 0.99)


class Depth(Section):
    """What the heads for depth and density learn while `warmup` trains (depth distribution)."""

    regression: Positive = 0.005  # the weight of the source's depth
    balance: Positive = 0.01  # of the source's density
    target_balance: Positive = 0.05  # of the target's density
    mask_invalid: bool = True  # leave out depth that is no measurement; the published loss has it as 65536


class Stylize(Section):
    beta: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.01
    window: Literal["square", "rect"] = "square"


class Views(Section):
    """How a trained network looks at a picture: once, or at several scales and mirrored, with the scores averaged."""

    batch: Count = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    scales: Annotated[tuple[Annotated[float, Field(ge=0.1, le=10.0)], ...], Field(min_length=1)] = (1.0,)
    flip: bool = False
    average: Literal["logits", "probs"] = "logits"


class Predict(Views):
    adabn: bool = False  # take batch norm's statistics from these pictures first; bn=train left it the source's


class Prior(Section):
    """Where in the picture each class stands in the source; kernel and sigma are pixels of a 1024x2048 picture."""

    size: HxW | None = None  # of the labels it is for; that of the target's pictures when absent
    stride: Count = 8  # a cell of the maps is so many pixels high and wide
    kernel: Positive = 70.0
    sigma: Positive | None = None  # a sixth of the kernel when absent
    norm: Literal["mean", "sum", "max"] = "mean"


class Iast(Section):
    """Image-adaptive thresholds (IAST)."""

    start: Share = 0.9
    alpha: Fraction = 0.2  # the share to keep of a class whose threshold is 1
    beta: Fraction = 0.9  # how much of the thresholds is left after a picture
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
    # Less confident labels: weigh all of a picture's by the share of the confident ones (DACS), or ignore them.
    unsure: Literal["weigh", "ignore"] = "weigh"


class Retrain(Training):
    source: Literal["source", "stylize", "none"] = "source"
    labels: Literal["refine", "pseudolabel", "none"] = "refine"
    init: Literal["warmup", "weights"] = "warmup"
    target_weight: Positive = 1.0
    lr_per_round: Positive = 1.0  # the learning rate of a round, times that of the round before
    source_fraction: Share = 1.0  # of the source pictures, in round 1
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
    classmix: bool = False  # paste half of the classes of a source picture on each target picture
    consistency: Positive | None = None  # the weight of being as near to the prototypes in both views (ProDA: 10 / C)
    temperature: Positive = 1.0  # of the softmax over the distances to the prototypes
    prototype_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9999


class Distill(Training):
    """What a fresh student learns: the source, and what the finished model says of the target (ProDA)."""

    source: Literal["source", "stylize", "none"] = "source"
    weights: str | None = None  # the student's first, as in `model`, whose they are when absent
    confidence: Fraction = 0.95  # of the labels it is given; less confident pixels have none
    flip: bool = True  # what the finished model says is the mean with what it says of the mirror image
    target_weight: Positive = 1.0  # of these labels
    soft_weight: Annotated[float, Field(ge=0.0)] = 1.0  # of the divergence from its probabilities, on all pixels
    strong: Strong | None = None


class Evaluate(Views):
    size: HxW | None = None  # pictures are seen at this size; the target's when absent


class Recipe(Section):
    """One experiment. The stages of `chain` are run in order; each reads its own section and the shared ones."""

    name: Name  # of the run's directory
    description: str = ""
    scale: Literal["full", "toy"] = "full"
    seed: Annotated[int, Field(ge=0)] = 0
    data: str = "data"  # the directory that holds the datasets
    space: str | tuple[str, ...] = "cs19"  # a named class space, or class names
    chain: tuple[str, ...] = ()
    ablation: dict[Name, dict[str, Any]] = {}  # by name, what to change for a run without one ingredient
    rounds: Count = 1  # how often predict to retrain are run, each time from the model of the time before
    toytown: Toytown | None = None
    source: Source = Source()
    target: Target = Target()
    model: Model = Model()
    pretrain: Warmup | None = None  # a phase on the source alone, from whose model `warmup` starts (FADA)
    warmup: Warmup = Warmup()
    adversary: Adversary = Adversary()
    depth: Depth = Depth()
    stylize: Stylize = Stylize()
    predict: Predict = Predict()
    prior: Prior = Prior()
    pseudolabel: Pseudolabel = Pseudolabel()
    refine: Refine = Refine()
    prototypes: Prototypes = Prototypes()
    gmm: Gmm = Gmm()
    retrain: Retrain = Retrain()
    distill: Distill = Distill()
    evaluate: Evaluate = Evaluate()
