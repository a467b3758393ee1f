"""Rules of videos: optical flow, and labels that follow it."""

from udaseg.config.recipe import Recipe
from udaseg.config.rules.table import Reader, Requirement


def _reads_flow(recipe: Recipe) -> bool:
    return recipe.refine.uses_flow or recipe.retrain.labels_frame_before or "flow" in recipe.chain


REQUIREMENTS = (
    Requirement(
        ("flow",),
        lambda recipe: recipe.flow.method == "files" and recipe.flow.step > 1,
        "flow.step={flow.step}, and files of a dataset (flow.method is files) lead to the frame before",
        "set flow.step=1, or compute the flow: set flow.method=dis",
    ),
    Requirement(
        ("refine",),
        lambda recipe: recipe.refine.uses_flow and recipe.refine.prototypes and recipe.refine.pixels == "all",
        "the prototypes would label all pixels again, whatever the frame before says: refine.pixels is all",
        "set refine.pixels=labelled, or refine.temporal=false refine.carry=false",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.labels_frame_before and recipe.retrain.online.rectify,
        "retrain.online.rectify weights labels by the features of the same frame, and retrain.online.frame is previous",
        "set retrain.online.rectify=false, or retrain.online.frame=same",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.labels_frame_before and recipe.retrain.epochs is not None,
        "retrain.epochs={retrain.epochs} counts all target images, and retrain.online.frame=previous leaves out those "
        "without a frame before them",
        "set retrain.epochs=null and retrain.steps=20000",
    ),
)
READERS = (
    Reader(
        ("flow",),
        _reads_flow,
        "no label follows the optical flow",
        "add --temporal or --carry to refine, or set retrain.online.frame=previous",
        commands=("flow",),
    ),
)
