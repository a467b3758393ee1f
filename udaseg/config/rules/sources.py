"""Rules of several sources: what they cannot do together."""

from collections.abc import Callable

from udaseg.config.recipe import Recipe
from udaseg.config.rules.table import Condition, Reader, Requirement
from udaseg.config.rules.training import TRAININGS, holds_of
from udaseg.config.sections.training import Training


def _several(check: Callable[[Recipe], bool]) -> Condition:
    """Return a condition that holds for a recipe with several sources alone."""
    return lambda recipe: recipe.sources is not None and check(recipe)


def _have_sizes_without_crop(recipe: Recipe, settings: Training) -> bool:
    sizes = {source.size for source in recipe.all_sources.values()}
    return settings.augment.crop is None and getattr(settings, "source", "") != "none" and len(sizes) > 1


def _pastes_missing_classes(recipe: Recipe) -> bool:
    return recipe.retrain.classmix and any(source.missing for source in recipe.sources or ())


REQUIREMENTS = (
    *(
        Requirement(
            (stage,),
            holds_of(stage, _have_sizes_without_crop),
            f"a batch of {stage} holds images of all sources, which need one size, and `size` differs in `sources`",
            f"give every source the same `size`, or set {stage}.augment.crop=[256,256]",
        )
        for stage in TRAININGS
    ),
    Requirement(
        ("pretrain", "warmup"),
        _several(lambda recipe: bool(recipe.model.heads)),
        "the heads for depth and density learn the depth of one source, and `sources` has several",
        "set model.heads=[], or sources=null and source.dataset=synthia",
    ),
    Requirement(
        ("retrain",),
        _several(lambda recipe: recipe.retrain.draw == "joint"),
        "retrain.draw=joint draws every image once an epoch, and `sources` are drawn by their shares",
        "set retrain.draw=separate",
    ),
    Requirement(
        ("retrain",),
        _several(lambda recipe: _pastes_missing_classes(recipe) and recipe.retrain.regulariser != "none"),
        "regulariser {retrain.regulariser} is of all classes, and pixels that retrain.classmix pastes from `sources` "
        "lack the missing ones",
        "set retrain.regulariser=none, or retrain.classmix=false",
    ),
)
READERS: tuple[Reader, ...] = ()
