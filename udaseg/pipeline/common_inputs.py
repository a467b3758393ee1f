"""Where the inputs lie that several stages read: models, pseudo-labels, prototypes."""

from typing import Any

from udaseg.config import Recipe
from udaseg.pipeline.stage import Input, StageFile

MODEL_HELP = "A model.pt, a stage directory, or a stage of the run."
LABELS_HELP = "Pseudo-labels <stem>.png: their folder, a stage directory, or a stage of the run."
# Of label files that a flag names: what their names add to those of the images.
LABEL_SUFFIX = ("target.labels.predicted_suffix", "--label-suffix")

# What predict stores decides what the stages after it read.
STORE = ("predict.store", "--store")


def stores_predictions(recipe: Recipe) -> bool:
    """Tell whether `predict` stores what stages after it read."""
    return recipe.predict.store != "none"


def stores_nothing(recipe: Recipe) -> bool:
    """Tell whether the stages after `predict` find nothing of it."""
    return recipe.predict.store == "none"


def predictions_input(help: str, *, make: bool = False) -> Input:
    """Declare the predictions.h5 of a stage that can do without one."""
    return Input(
        "predictions",
        "predict/predictions.h5",
        help,
        when=stores_predictions,
        because="predict.store=none stores none",
        hint="leave it out, or add --store logits",
        make=make,
    )


def label_names(recipe: Recipe) -> dict[str, Any]:
    """Return the setting of the names of label files that a flag names, where there is one."""
    suffix = recipe.target.labels.predicted_suffix
    return {} if suffix is None else {"labels": {"suffix": suffix}}


def latest_model(recipe: Recipe, round: int) -> StageFile:
    """Return the model that a round of self-training starts from: the warm-up's, then that of the round before.

    A recipe without a warm-up, whose retraining starts from weights and reads no labels, has one model: that of it.
    """
    setting = recipe.retrain
    if setting.init == "weights" and not setting.reads_labels and recipe.chain and "warmup" not in recipe.chain:
        return StageFile("retrain", "model.pt", round)
    return StageFile("warmup", "model.pt") if round == 1 else StageFile("retrain", "model.pt", round - 1)


def training_labels(recipe: Recipe, round: int) -> StageFile:
    """Return the pseudo-labels that `retrain` reads."""
    return StageFile(recipe.retrain.labels, "labels", round)


def prototype_labels(recipe: Recipe, round: int) -> StageFile:
    """Return the pseudo-labels of the prototypes: those of the last stage before them that makes labels."""
    chain = recipe.chain
    earlier = chain[: chain.index("prototypes")] if "prototypes" in chain else chain
    refined = recipe.retrain.labels == "refine" and not recipe.refine.prototypes
    stage = "refine" if refined and ("refine" in earlier or "refine" not in chain) else "pseudolabel"
    return StageFile(stage, "labels", round)


def flow_input(when, because: str, hint: str) -> Input:
    """Declare the optical flow between the frames of the target; it is computed where it is missing."""
    return Input(
        "flow",
        "flow",
        "The directory of a `flow` stage.",
        when=when,
        because=because,
        hint=hint,
        make=True,
    )


def prototypes_input(when, because: str, hint: str) -> Input:
    """Declare the prototypes of the latest model; they are made unless another model or file is named."""
    return Input(
        "prototypes",
        "prototypes/prototypes.h5",
        "The prototypes.h5 of that model.",
        flag="--prototypes-file",
        when=when,
        because=because,
        hint=hint,
        make=True,
        make_unless=("model",),
    )
