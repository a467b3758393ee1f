"""The network and the training that suit a machine: what it computes on, its memory, the weights that are there."""

from functools import cache
from typing import Any, NamedTuple

from udaseg.config import HxW, Recipe
from udaseg.config.load import load_recipe
from udaseg.config.sections.model import Model
from udaseg.errors import UdasegError
from udaseg.io.weights_file import NOT_FILES, find_weights_file

ROOM = 0.8  # the part of the memory that tensors may take: the rest is for cuDNN, copies and other programs
CONTEXT = 2e9  # bytes that CUDA and Python take
SMALL, LARGE_TARGET, LARGE_SOURCE = 128 * 256, 512 * 1024, 720 * 1280  # pixels at which images are seen


class Machine(NamedTuple):
    """What computes, its memory in bytes, and a line that describes it."""

    device: str
    bytes: int
    text: str


class Plan(NamedTuple):
    """A shipped recipe as the base, at a scale, with its reasons, and the pixels at which it sees images.

    `crop` is the crop of the base, None where crops follow from the images.
    """

    base: str
    scale: str
    why: str
    network: str  # why this network
    source_area: int
    target_area: int
    crop: HxW | None = None


class Fit(NamedTuple):
    """A plan for a machine: in how many parts a batch goes through the network, and what weights are still to come."""

    plan: Plan
    accumulate: int
    bytes: int  # of memory, by arithmetic; 0 where it was not counted
    parameters: int
    missing_weights: UdasegError | None


_TOY_SCORES = "on toytown 69.8 and 70.3 after 3,000 steps, demo 65.5 to 66.0 (docs/results.md)"
ON_CPU = Plan(
    "mic-gta2city",
    "toy",
    f"labels from a teacher at every step, the best of what was measured on a CPU: {_TOY_SCORES}",
    "without a large GPU a small network: EfficientNet-Lite0 with an FPN",
    SMALL,
    SMALL,
)
# The best published one first. Nothing was measured at full scale here.
ON_GPU = (
    Plan(
        "mic-gta2city",
        "full",
        "labels from a teacher at every step, also of images with hidden blocks: published above DAFormer, not "
        "measured here at full scale",
        "MiT-B5 with the decoder of DAFormer fits this GPU",
        LARGE_SOURCE,
        LARGE_TARGET,
        (512, 512),
    ),
    Plan(
        "dacs-gta2city",
        "full",
        "labels from a teacher at every step; not measured here at full scale",
        "DeepLab on a ResNet-101",
        LARGE_SOURCE,
        LARGE_TARGET,
        (512, 512),
    ),
)


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    from udaseg.pipeline import doctor

    found, _ = doctor.devices()
    cores = f"{found['cores']} cores with {found['bytes'] / 1e9:.0f} GB"
    if found["device"] != "cuda":
        return Machine("cpu", found["bytes"], f"{cores}, no GPU")
    gpu = min(found["gpus"], key=lambda one: one["bytes"])
    return Machine("cuda", gpu["bytes"], f"{gpu['name']} with {gpu['bytes'] / 1e9:.0f} GB, {cores}")


def choose_plan(machine: Machine, classes: int) -> Fit:
    """Choose the recipe and the network for a machine.

    Of those that fit its memory, the first whose weights are there; where none are, the first, which downloads them.
    """
    plans = (*ON_GPU, ON_CPU) if machine.device == "cuda" else (ON_CPU,)
    fits = [fit for plan in plans if (fit := _fit(plan, machine, classes)) is not None]
    if not fits:
        other = "train on the CPU: export CUDA_VISIBLE_DEVICES=" if machine.device == "cuda" else "use another machine"
        raise UdasegError(f"{machine.text}: too little memory for the networks of the recipes", other)
    fits = [fit for fit in fits if fit.plan != ON_CPU] or fits
    return next((fit for fit in fits if fit.missing_weights is None), fits[0])


class _Memory(NamedTuple):
    """The memory of a training in bytes, by arithmetic on shapes, and the parameters of its network."""

    fixed: int
    activations: int  # of a whole batch
    parameters: int


def _fit(plan: Plan, machine: Machine, classes: int) -> Fit | None:
    """Return how a plan fits a machine; None where it does not."""
    recipe, memory = load_recipe(plan.base, scale=plan.scale), _count_memory(plan, classes)
    batch = recipe.retrain.batch
    for accumulate in (part for part in range(1, batch + 1) if batch % part == 0):
        needed = int(memory.fixed + memory.activations / accumulate + CONTEXT)
        if needed <= ROOM * machine.bytes:
            return Fit(plan, accumulate, needed, memory.parameters, find_missing_weights(recipe))
    return None


@cache
def _count_memory(plan: Plan, classes: int) -> _Memory:
    import torch

    from udaseg.models import construct
    from udaseg.models.complexity import training_memory

    recipe = load_recipe(plan.base, scale=plan.scale)
    retrain, crop = recipe.retrain, plan.crop or recipe.retrain.augment.crop
    assert crop is not None
    with torch.device("meta"):
        network = construct(recipe.model.model_copy(update={"weights": "none"}), classes)
    memory = training_memory(network, crop)
    parameters = sum(value.numel() for value in network.parameters())
    state = memory.adamw if retrain.optimizer == "adamw" else memory.sgd
    frozen = 4 * parameters * (1 + (retrain.feature_distance is not None))  # the teacher, and the first encoder
    images = retrain.batch * (1 if retrain.passes == "separate" else 2)
    return _Memory(memory.weights + state + frozen, memory.activations * images, parameters)


def find_missing_weights(recipe: Recipe) -> UdasegError | None:
    """Return what is missing of the weights that a recipe's network starts from, and how to get them."""
    from udaseg.pipeline.doctor import weights

    model: Model = recipe.model
    if model.weights in NOT_FILES:
        finding = weights(model.encoder_name) if model.weights == "imagenet" else None
        return None if finding is None else UdasegError(finding.what, finding.fix)
    try:
        find_weights_file(model.weights)
    except UdasegError as error:
        return error
    return None


def checkpoint_bytes(parameters: int, settings: Any) -> int:
    """Return the disk that a training takes: model.pt, and state.pt twice while it is replaced, with all they hold."""
    copies = 1 + 2 * (2 + 1 + 2)  # student and teacher, gradients' moments of adamw
    return 4 * parameters * (copies if settings.optimizer == "adamw" else copies - 2)
