"""Rules of the passes of self-training, and of its masked images and distances to frozen encoders."""

from udaseg.config.recipe import Recipe
from udaseg.config.rules.table import Reader, Requirement


def _hides_crops(recipe: Recipe) -> bool:
    masked, crop = recipe.retrain.masked, recipe.retrain.augment.crop
    return masked is not None and crop is not None and masked.block > min(crop)


def _hides_images(recipe: Recipe) -> bool:
    masked, size = recipe.retrain.masked, recipe.target.size
    return masked is not None and recipe.retrain.augment.crop is None and size is not None and masked.block > min(size)


def _classes(recipe: Recipe) -> tuple[str, ...]:
    from udaseg.labels import class_space  # imports numpy

    return class_space(recipe.space).classes


def _names_other_classes(recipe: Recipe) -> bool:
    distance = recipe.retrain.feature_distance
    return distance is not None and not {*(distance.classes or ())} <= {*_classes(recipe)}


def _knows_no_things(recipe: Recipe) -> bool:
    distance = recipe.retrain.feature_distance
    return distance is not None and distance.classes is None and not distance.choose(_classes(recipe))


REQUIREMENTS = (
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.passes == "separate" and recipe.retrain.draw == "joint",
        "retrain.draw=joint has one mean over both domains, and retrain.passes=separate is a pass for each",
        "set retrain.draw=separate, or retrain.passes=joint",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.passes == "separate" and recipe.retrain.domain_specific_bn is True,
        "retrain.adabn=true has a pass for each domain already, and the running statistics of the target; "
        "retrain.passes=separate has those of both",
        "set retrain.passes=joint, or retrain.adabn=after",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.adabn == "separate",
        "retrain.adabn=separate is a pass for each domain, which is a setting of its own here",
        "set retrain.adabn=false and retrain.passes=separate",
    ),
    Requirement(
        ("retrain",),
        _hides_crops,
        "retrain.masked.block={retrain.masked.block} is larger than crops of {retrain.augment.crop}: a crop would be "
        "hidden as a whole, or not at all",
        "set retrain.masked.block={retrain.fitting_block}",
    ),
    Requirement(
        ("retrain",),
        _hides_images,
        "retrain.masked.block={retrain.masked.block} is larger than images of {target.size}: an image would be hidden "
        "as a whole, or not at all",
        "set retrain.masked.block=8",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.feature_distance is not None and recipe.retrain.source == "none",
        "retrain.feature_distance is a loss on the source's labels, and retrain.source is none",
        "set retrain.source=source, or retrain.feature_distance=null",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.feature_distance is not None and recipe.model.weights == "none",
        "retrain.feature_distance keeps features near those of pre-trained weights, and model.weights is none",
        "set model.weights=imagenet, or retrain.feature_distance=null",
    ),
    Requirement(
        ("retrain",),
        _names_other_classes,
        "retrain.feature_distance.classes={retrain.feature_distance.classes} has a class that the space does not have: "
        "{space}",
        "set retrain.feature_distance.classes=null, for all that are known as things, or name classes of the space",
    ),
    Requirement(
        ("retrain",),
        _knows_no_things,
        "retrain.feature_distance is a loss on things, and no class of the space is known as one: {space}",
        "set retrain.feature_distance.classes=[{space[0]}], or other classes of the space",
    ),
)
READERS = (
    Reader(
        ("retrain.passes",),
        lambda recipe: recipe.retrain.source != "none",
        "it trains without the source",
        "set retrain.source=source",
    ),
    Reader(
        ("retrain.masked.strong",),
        lambda recipe: recipe.retrain.strong is not None,
        "the student's view of the target has no other colours",
        "set retrain.strong={}",
    ),
)
