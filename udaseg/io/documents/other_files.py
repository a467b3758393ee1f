"""The files of a run that are no JSON: what they hold, entry by entry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A value in a file: a dotted key, or a name in an HDF5 file, where `@` begins an attribute."""

    key: str
    kind: str
    meaning: str
    when: str = ""  # the cases in which it is there; always, where empty


@dataclass(frozen=True)
class Table:
    """A kind of file: its name, the stages that write it, a sentence about it, and its entries."""

    file: str
    where: str
    about: str
    entries: tuple[Entry, ...] = ()


MODEL_SCHEMA = "udaseg.model/1"
CLASSES = Entry("@classes", "texts [C]", "the class names, in the order of every other [C]; UTF-8 of fixed length")

LABELS = Table(
    "labels/<stem>.png",
    "`pseudolabel`, `refine`, `apply`, `adapt`",
    "Palette PNGs of 8 bits, as high and wide as the labels of the image: the class of every pixel in the order of "
    "`classes`, and 255 where there is none. The palette is for people; programs read the indices. A stem is the name "
    "of an image without its suffix; its folders come before it where several images share the name: `seq1_000000`. "
    "Bytes that are not UTF-8, control characters and backslashes are `%` and two digits. Beyond 200 bytes the end is "
    "a digest.",
)
PREDICTIONS = Table(
    "predictions.h5",
    "`predict`, `ensemble`",
    "Finite logits at the network's stride. Interpolate them to `height` and `width` bilinearly before the softmax, "
    "with `align_corners` as the file says. Logits that were averaged as probabilities are their logarithms. With "
    "`predict.store=confidence` the file has the most likely class and its probability in their place, at the points "
    "of the logits and at the middles between them. The code of a probability p is "
    "round(255 (ln(p / (1 - p)) + ln(C - 1)) / (24 ln 2 + ln(C - 1))), from 0 to 255. With `predict.store=none` there "
    "is no file.",
    (
        CLASSES,
        Entry("@align_corners", "true or false", "of the interpolation"),
        Entry("logits/<stem>", "float16 [C, h, w]", "the logits of an image", "logits"),
        Entry("confidence/<stem>", "uint8 [2, 2h-1, 2w-1]", "a class, and the code of its probability", "confidence"),
        Entry("<store>/<stem>@height", "integer", "of the image's labels, in pixels"),
        Entry("<store>/<stem>@width", "integer", "of the image's labels, in pixels"),
    ),
)
PROTOTYPES = Table(
    "prototypes.h5",
    "`prototypes`",
    "The mean feature of every class. Absent classes have a count of 0.",
    (
        CLASSES,
        Entry("@layer", "text", "the layer that gave the features"),
        Entry("@model", "text", "the digest of the model.pt that gave the features"),
        Entry("centroids", "float32 [C, D]", "the means"),
        Entry("counts", "int64 [C]", "the number of features"),
    ),
)
PRIOR = Table(
    "prior.h5",
    "`prior`",
    "How often each class is at each position of the source's images, smoothed and normalised.",
    (CLASSES, Entry("prior", "float32 [C, h, w]", "over a grid that spans the image")),
)
GMM = Table(
    "gmm.h5",
    "`gmm`",
    "A mixture of Gaussians with diagonal covariances for every class, over (column, row, inverse depth "
    "65536 / (cm + 1)). Absent classes have weights of 0.",
    (
        CLASSES,
        Entry("@grid", "integers [2]", "height and width of the grid that columns and rows count"),
        Entry("weights", "float64 [C, K]", "sum to 1"),
        Entry("means", "float64 [C, K, 3]", "of column, row and inverse depth"),
        Entry("variances", "float64 [C, K, 3]", "positive"),
    ),
)
MODEL = Table(
    "model.pt",
    "`warmup`, `retrain`, `distill`, `adapt`",
    "A PyTorch archive of tensors and plain values; read it with `torch.load(path, weights_only=True)`. With "
    "`keep_last` the models of earlier steps are `last/<step>.pt`.",
    (
        Entry("meta.schema", "text", MODEL_SCHEMA),
        Entry("meta.udaseg", "text", "the version that wrote it"),
        Entry("meta.classes", "list of texts [C]", "the class names, in the order of the logits"),
        Entry("meta.model", "object", "the recipe's section `model`, without the weights it began with"),
        Entry("meta.timm", "text", "the version of timm that built the encoder", "with an encoder of timm"),
        Entry("meta.stride_first", "true or false", "whether the first convolution of a ResNet's block has the stride"),
        Entry("meta.extra", "object", "further values"),
        Entry("model.<name>", "tensor", "the network's state"),
    ),
)
STATE = Table(
    "state.pt",
    "Beside `model.pt`",
    "What a stopped training continues from; nothing reads it once the training is finished. For udaseg alone: it may "
    "change at any time.",
    (
        Entry("step", "integer", "steps done"),
        Entry("modules.<name>", "object", "states of the networks"),
        Entry("optimizers.<name>", "object", "states of their optimizers"),
    ),
)
FLOATS = Table(
    "float/<image>.npy",
    "`stylize`, with `keep_float`",
    "An image in the style of the target before it is clipped to 0..255 and rounded: float16 [H, W, 3]. No stage reads "
    "it.",
)
FLOWS = Table(
    "flows/<stem>.png",
    "`flow`",
    "Optical flow as KITTI stores it: a PNG of 16 bits and three colours, of the size of the image. It leads from a "
    "pixel of the image to the place of the same point in the frame before, which flow.json names.",
    (
        Entry("red", "uint16 [H, W]", "64 times the pixels to the right, plus 32768"),
        Entry("green", "uint16 [H, W]", "64 times the pixels down, plus 32768"),
        Entry(
            "blue",
            "uint16 [H, W]",
            "1 where the flow is valid; 0 where something hides the point in the frame before, it lies outside, or the "
            "flow is not known",
        ),
    ),
)
CLASSES_YAML = Table(
    "classes.yaml",
    "the root of a `folder` dataset; `apply` and `adapt` write one",
    "YAML, with no other keys; README.md has an example.",
    (
        Entry("names", "list of texts [C]", "by id; or a mapping of ids to names, where several may share one"),
        Entry(
            "palette",
            "list of lists of integers [C, 3]",
            "red, green, blue",
            "written by `apply`; needed to read labels in colours",
        ),
        Entry("ignore", "list of integers and of lists [3]", "ids and colours without a class", "your own data"),
        Entry("channel", "text", "red, green or blue: the channel of RGB labels with the ids", "your own data"),
        Entry("ids", "object", "ids to names, where `names` gives the order alone", "your own data"),
    ),
)
