"""What every file of a run holds, as data.

A test holds this table against files that the stages have written, entry by entry, in both directions.
"""

from typing import NamedTuple

from udaseg.data.datasets import folder
from udaseg.metrics import DEPTH_ERRORS
from udaseg.models.tensorfile import SCHEMA
from udaseg.pipeline.manifest import SCHEMA as MANIFEST_SCHEMA
from udaseg.pipeline.outputs import MANIFEST as MANIFEST_NAME


class Entry(NamedTuple):
    """A value in a file: a JSON key, dotted where objects are nested, or a name in an HDF5 file (`@`: an attribute)."""

    key: str
    kind: str
    meaning: str
    when: str = ""  # in which cases it is there; always, when empty


class File(NamedTuple):
    """A kind of file: where it is, what it is in a sentence or two, what it holds."""

    name: str
    where: str
    about: str
    entries: tuple[Entry, ...]


PER_CLASS = "list of integers [C]"
CLASSES = Entry("classes", "list of texts [C]", "the names, in the order of every other [C]")
CLASSES_H5 = Entry("@classes", "texts [C]", "the names, in the order of every other [C]; UTF-8 of fixed length")

MANIFEST = File(
    MANIFEST_NAME,
    "every stage directory",
    "Written last and in one piece: a directory without it is unfinished, and no stage reads it.",
    (
        Entry("schema", "integer", f"of the manifest: {MANIFEST_SCHEMA}"),
        Entry("stage", "text", "its name"),
        Entry("version", "text", "of udaseg"),
        Entry("command", "text", "the command line that did the work"),
        Entry("settings", "object", "what of the recipe the result depends on, by section; another value: run again"),
        Entry("seed", "integer", "of everything random"),
        Entry("inputs.<name>.path", "text", "what was read"),
        Entry("inputs.<name>.digest", "text", "of its files' names and content"),
        Entry("outputs.count", "integer", "files that the stage wrote, without the records about it and state.pt"),
        Entry("outputs.bytes", "integer", "their size"),
        Entry("outputs.digest", "text", "BLAKE2b of their names and content"),
        Entry("outputs.signature", "text", "of names, sizes, times and inodes: as long as it fits, nothing is read"),
        Entry("metrics", "object", "the stage's key numbers; what they are depends on the stage"),
        Entry("warnings", "list of texts", "what it said to look at"),
        Entry("environment.<name>", "any", "python, torch and, where a network ran, device, precision, threads"),
        Entry("started", "text", "when the work, or its last part, began; UTC, ISO 8601"),
        Entry("seconds", "number", "how long the work took, all its parts together where it was stopped in between"),
    ),
)
RUN = File(
    "run.json",
    "the run",
    "What a later command with `--run` alone needs to mean the same recipe.",
    (
        Entry("recipe", "text", "the name of a shipped recipe, or the path of one's own"),
        Entry("scale", "text", "full or toy"),
        Entry("data", "text", "the directory that holds the datasets"),
        Entry("seed", "integer", ""),
    ),
)
LABELS = File(
    "labels/<stem>.png",
    "`pseudolabel`, `refine`, `apply`",
    "Palette PNGs of 8 bits, as high and wide as the image's labels: the class of every pixel in the order of "
    "`classes`, 255 where there is none. The palette is for people; programs read the indices.",
    (),
)
PREDICTIONS = File(
    "predictions.h5",
    "`predict`, `ensemble`",
    "Finite logits at the network's stride. Bring them to `height` and `width` bilinearly, with `align_corners` as it "
    "says, before the softmax. Where scales or flips were averaged as probabilities, these are their logarithms.",
    (
        CLASSES_H5,
        Entry("@align_corners", "true or false", "of the interpolation"),
        Entry("logits/<stem>", "float16 [C, h, w]", "the logits of an image"),
        Entry("logits/<stem>@height", "integer", "of the image's labels, in pixels"),
        Entry("logits/<stem>@width", "integer", "of the image's labels, in pixels"),
    ),
)
THRESHOLDS = File(
    "thresholds.json",
    "`pseudolabel`",
    "By what the labels beside it were chosen.",
    (
        Entry("policy", "text", "st, cbst, cbst-sp or iast"),
        Entry("p", "number or null", "the share that was asked for in this round; iast has none"),
        CLASSES,
        Entry(
            "threshold", "list of numbers [C]", "a pixel's probability has to reach that of its class; iast: the last"
        ),
        Entry("predicted", PER_CLASS, "pixels by plain argmax"),
        Entry("kept", PER_CLASS, "pixels in the written labels"),
        Entry("round", "integer", "of self-training, from 1"),
        Entry("p_step", "number", "what each round adds to p", "st, cbst, cbst-sp"),
        Entry("p_max", "number", "the most that p grows to", "st, cbst, cbst-sp"),
        Entry("stride", "integer", "of the pixels from which the thresholds come", "st, cbst, cbst-sp"),
        Entry("prior_peak", "list of numbers [C]", "the prior's largest value by class", "cbst-sp"),
        Entry("iast", "object", "its settings", "iast"),
    ),
)
REFINE = File(
    "refine.json",
    "`refine`",
    "What refinement did to the labels.",
    (
        CLASSES,
        Entry("order", "list of texts", "the steps: prototypes, aggregate"),
        Entry("confidence", "number", "pixels of a lower one lost their label before aggregation"),
        Entry("minimum", "list of integers or nulls [C]", "the least pixels of a component, in the largest image"),
        Entry("before", PER_CLASS, "pixels in the labels that were read"),
        Entry("after", PER_CLASS, "pixels in those that were written"),
        Entry("flipped", PER_CLASS, "of those before, the pixels that are another class after"),
    ),
)
PROTOTYPES = File(
    "prototypes.h5",
    "`prototypes`",
    "The mean feature of every class. Absent classes have a count of 0.",
    (
        CLASSES_H5,
        Entry("@layer", "text", "whose features they are"),
        Entry("@model", "text", "the digest of the model.pt that gave the features"),
        Entry("centroids", "float32 [C, D]", "the means"),
        Entry("counts", "int64 [C]", "over how many features"),
    ),
)
PRIOR = File(
    "prior.h5",
    "`prior`",
    "How often each class stands in each place of the source's images, smoothed and normalised.",
    (CLASSES_H5, Entry("prior", "float32 [C, h, w]", "over a grid that spans the image")),
)
GMM = File(
    "gmm.h5",
    "`gmm`",
    "Mixtures of Gaussians with diagonal covariances over (column, row, inverse depth 65536 / (cm + 1)). Absent "
    "classes have weights of 0.",
    (
        CLASSES_H5,
        Entry("@grid", "integers [2]", "height and width of the grid that columns and rows count"),
        Entry("weights", "float64 [C, K]", "sum to 1"),
        Entry("means", "float64 [C, K, 3]", ""),
        Entry("variances", "float64 [C, K, 3]", "positive"),
    ),
)
STATS = File(
    "stats.json",
    "`stats`, which `udaseg data stats` writes",
    "What the labels of the source show.",
    (
        CLASSES,
        Entry("pixels", PER_CLASS, "in all; ignored ones are in none"),
        Entry("images", PER_CLASS, "images that show the class"),
        Entry("per_image.<stem>", PER_CLASS, "the pixels of one image"),
    ),
)
METRICS = File(
    "metrics.json",
    "`evaluate`",
    "Counted in integers over all images at the labels' own size.",
    (
        CLASSES,
        Entry("iou", "list of numbers or nulls [C]", "null for a class that is neither true nor predicted anywhere"),
        Entry("miou", "number or null", "the mean of those there are"),
        Entry("miou16", "number or null", "over the 16 classes of SYNTHIA, where the space has them"),
        Entry("miou13", "number or null", "over 13 of them, where the space has them"),
        Entry("pixel_accuracy", "number or null", ""),
        Entry("absent", "list of texts", "the classes without an IoU"),
        Entry("confusion", "list of lists of integers [C, C]", "pixels; a row for each true class"),
        Entry("images", "integer", "images that were scored"),
        Entry("convention", "text", "how the numbers are counted, in words"),
        *(
            Entry(f"depth.{name}", "number or null", meaning, "the network estimates depth, and the images have it")
            for name, meaning in zip(
                DEPTH_ERRORS,
                (
                    "mean of |e| / z", "mean of e² / z", "root of the mean of e², in metres",
                    "the same of the natural logarithms", "share of pixels within a factor of 1.25", "of 1.25²",
                    "of 1.25³",
                ),
                strict=True,
            )
        ),
        Entry("depth.pixels", "integer", "that were counted", "as above"),
        Entry("depth.convention", "text", "how they are counted, in words", "as above"),
    ),
)  # fmt: skip
MODEL = File(
    "model.pt",
    "`warmup`, `retrain`, `distill`",
    "A PyTorch archive of tensors and plain values; read it with `torch.load(path, weights_only=True)`.",
    (
        Entry("meta.schema", "text", f"{SCHEMA}"),
        Entry("meta.udaseg", "text", "the version that wrote it"),
        Entry("meta.classes", "list of texts [C]", "the names, in the order of the logits"),
        Entry("meta.model", "object", "the recipe's section `model`, without the weights it began with"),
        Entry("meta.stride_first", "true or false", "whether the first convolution of a ResNet's block has the stride"),
        Entry("meta.extra", "object", "further values"),
        Entry("model.<name>", "tensor", "the network's state"),
        Entry("digest", "text", "SHA-256 of the facts and tensors"),
    ),
)
STATE = File(
    "state.pt",
    "Beside `model.pt`",
    "What a training needs to go on, and nothing once it is finished; for udaseg alone, and it may change any time.",
    (
        Entry("step", "integer", "steps done"),
        Entry("modules.<name>", "object", "states of the networks"),
        Entry("optimizers.<name>", "object", "states of their optimizers"),
    ),
)
LOG = File(
    "log.jsonl",
    "Beside `model.pt`",
    "A line every `log_every` steps, without times: a resumed training writes the same bytes.",
    (
        Entry("step", "integer", "from 1"),
        Entry("loss", "number", "what was minimised"),
        Entry("lr", "number", "the learning rate of the backbone"),
        Entry("<term>", "number", "the parts of the loss, and what else the method counts"),
    ),
)
PAIRS = File(
    "pairs.jsonl",
    "`stylize`, beside a dataset of the source's layout",
    "A line for each image of the source.",
    (Entry("source", "text", "its stem"), Entry("target", "text", "the stem of the image that gave the style")),
)
ABLATION = File(
    "ablation/ablation.json",
    "a run after `udaseg ablate`",
    "Scores with each ingredient left out, by seed.",
    (
        Entry("recipe", "text", ""),
        Entry("scale", "text", "full or toy"),
        Entry("seeds", "list of integers [S]", ""),
        CLASSES,
        Entry("variants.<name>.changes", "object or text", "what differs, or a recipe's name; none for `full`"),
        Entry("variants.<name>.miou", "list of numbers [S]", "by seed"),
        Entry("variants.<name>.iou", "list of lists of numbers or nulls [S, C]", ""),
        Entry("variants.<name>.mean", "number", "over the seeds"),
        Entry("variants.<name>.deviation", "number or null", "standard deviation over the seeds; null for one"),
        Entry("variants.<name>.change", "number", "the mean difference to `full`, seed by seed"),
        Entry("variants.<name>.change_deviation", "number or null", "its standard deviation"),
    ),
)
CLASSES_YAML = File(
    "classes.yaml",
    "the root of a `folder` dataset; `apply` writes one",
    f"YAML. `udaseg` reads the keys {', '.join(folder.KEYS)}; README.md has an example.",
    (
        Entry("names", "list of texts [C]", "by id; or a mapping of ids to names, where several may share one"),
        Entry(
            "palette", "list of lists of integers [C, 3]", "red, green, blue", "written by `apply`; optional to read"
        ),
        Entry("ignore", "list of integers", "ids without a class", "one's own"),
        Entry("ids", "object", "ids to names, where `names` gives the order alone", "one's own"),
    ),
)
FILES = (
    RUN, MANIFEST, MODEL, STATE, LOG, PAIRS, PREDICTIONS, LABELS, THRESHOLDS, REFINE, PROTOTYPES, PRIOR, GMM, STATS,
    METRICS, ABLATION, CLASSES_YAML,
)  # fmt: skip
