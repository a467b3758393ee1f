"""Rules that hold for every training: pretrain, warmup, retrain and distill."""

from collections.abc import Callable

from udaseg.config.recipe import Recipe
from udaseg.config.rules.table import Condition, Reader, Requirement
from udaseg.config.sections.training import Training

TRAININGS = ("pretrain", "warmup", "retrain", "distill")


def training_of(recipe: Recipe, stage: str) -> Training:
    """Return the section of a training stage.

    A recipe whose warm-up section has been replaced by that of `pretrain` has no other for that stage.
    """
    return getattr(recipe, stage) or recipe.warmup


def holds_of(stage: str, check: Callable[[Recipe, Training], bool]) -> Condition:
    """Return a condition on a recipe from a check of the recipe and of the section of a training stage."""
    return lambda recipe: check(recipe, training_of(recipe, stage))


def _has_frozen_statistics(recipe: Recipe, settings: Training) -> bool:
    return settings.domain_specific_bn and (getattr(settings, "bn", None) or recipe.model.bn) == "frozen"


def _mixes_sizes(recipe: Recipe, settings: Training) -> bool:
    augment = settings.augment
    return settings.batch > 1 and augment.crop is None and augment.scale != (1.0, 1.0)


def _has_empty_parts(recipe: Recipe, settings: Training) -> bool:
    return settings.accumulate > settings.batch


def _keeps_more_than_it_saves(recipe: Recipe, settings: Training) -> bool:
    return min(settings.kept_steps, default=1) < 1


def _exceeds_crop(recipe: Recipe, settings: Training) -> bool:
    detail, crop = recipe.model.detail, settings.augment.crop
    return detail is not None and crop is not None and (detail[0] > crop[0] or detail[1] > crop[1])


def _exceeds_images(recipe: Recipe, settings: Training) -> bool:
    detail, sizes = recipe.model.detail, (*(one.size for one in recipe.all_sources.values()), recipe.target.size)
    if detail is None or settings.augment.crop is not None:
        return False
    return any(size is not None and (detail[0] > size[0] or detail[1] > size[1]) for size in sizes)


def _requirements(stage: str) -> tuple[Requirement, ...]:
    return (
        Requirement(
            (stage,),
            holds_of(stage, _has_empty_parts),
            f"{stage}.accumulate={{{stage}.accumulate}} is more parts than a batch has images: {stage}.batch is "
            f"{{{stage}.batch}}",
            f"set {stage}.accumulate to the number of images or less",
        ),
        Requirement(
            (stage,),
            holds_of(stage, _keeps_more_than_it_saves),
            f"{stage}.keep_last={{{stage}.keep_last}} is more models than {{{stage}.steps}} steps give with "
            f"{stage}.save_every={{{stage}.save_every}}",
            f"set {stage}.save_every to fewer steps, or {stage}.keep_last=1",
        ),
        Requirement(
            (stage,),
            holds_of(stage, _has_frozen_statistics),
            f"{stage}.adabn={{{stage}.adabn}} normalises each domain by itself in training, and bn=frozen keeps the "
            "statistics of the model",
            f"set {stage}.adabn=after, or {'retrain' if stage == 'retrain' else 'model'}.bn=train",
        ),
        Requirement(
            (stage,),
            holds_of(stage, _mixes_sizes),
            f"{stage}.augment.scale gives images of several sizes, and a batch needs one size",
            f"set {stage}.augment.crop=[256,256], or {stage}.augment.scale=[1,1]",
        ),
        Requirement(
            (stage,),
            holds_of(stage, _exceeds_crop),
            f"model.detail={{model.detail}} is larger than the crops, and is a part of them: {stage}.augment.crop is "
            f"{{{stage}.augment.crop}}",
            "set model.detail to half of the crop's height and width",
        ),
        Requirement(
            (stage,),
            holds_of(stage, _exceeds_images),
            "model.detail={model.detail} is larger than the images, and is a part of them: {sizes_of_sources}, "
            "target.size is {target.size}",
            "set model.detail to half of their height and width",
        ),
        Requirement(
            (stage,),
            holds_of(stage, lambda recipe, settings: settings.compile != "none" and recipe.model.detail is not None),
            f"{stage}.compile={{{stage}.compile}} needs fixed shapes, and with model.detail the detail lies at another "
            "place in every step",
            f"set {stage}.compile=none",
        ),
    )


def _needs_one_size(stage: str, section: str) -> Requirement:
    """Require one size of both domains: that of the target is in the section of the stage, or in `target`."""

    def is_broken(recipe: Recipe) -> bool:
        settings = getattr(recipe, stage)
        if settings.source == "none" or settings.augment.crop is not None:
            return False
        has_own_size = settings.size is not None
        sizes = {one.size for one in recipe.all_sources.values()} | {getattr(recipe, section).size}
        return has_own_size == (section == stage) and None not in sizes and len(sizes) > 1

    return Requirement(
        (stage,),
        is_broken,
        f"a batch of {stage} holds images of both domains, which need one size; {{sizes_of_sources}}, "
        f"{section}.size is {{{section}.size}}",
        f"set {{size_setting}} and {section}.size=[256,512], or {stage}.augment.crop=[256,256]",
    )


REQUIREMENTS = (
    *(requirement for stage in TRAININGS for requirement in _requirements(stage)),
    *(_needs_one_size(stage, section) for stage in ("retrain", "distill") for section in ("target", stage)),
)
READERS = (
    *(
        Reader(
            (f"{stage}.momentum",),
            holds_of(stage, lambda recipe, settings: settings.optimizer == "sgd"),
            "adamw has no momentum",
            f"set {stage}.optimizer=sgd",
        )
        for stage in TRAININGS
    ),
    *(
        Reader(
            (f"{stage}.no_decay",),
            holds_of(stage, lambda recipe, settings: settings.weight_decay > 0),
            "there is no weight decay",
            f"set {stage}.weight_decay=0.01",
        )
        for stage in TRAININGS
    ),
    Reader(
        ("model.detail_weight",),
        lambda recipe: recipe.model.detail is not None,
        "the network sees one resolution",
        "set model.detail=[256,256]",
    ),
)
