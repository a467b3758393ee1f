"""Rules of retraining: labels, teacher, prototypes, mining and regularisers."""

from udaseg.config.recipe import Recipe
from udaseg.config.rules.table import Condition, Reader, Requirement


def _has_online(recipe: Recipe, setting: str, value: object) -> bool:
    online = recipe.retrain.online
    return online is not None and getattr(online, setting) == value


def _teacher_runs(recipe: Recipe) -> bool:
    return recipe.retrain.moves_prototypes or _has_online(recipe, "scores", "teacher")


def _normalises_frozen(recipe: Recipe) -> bool:
    return recipe.retrain.teacher_norm != "average" and (recipe.retrain.bn or recipe.model.bn) == "frozen"


def _learns_nothing(recipe: Recipe) -> bool:
    """Tell whether the target has no labels in the steps of a training; without steps it changes statistics alone."""
    return recipe.retrain.labels == "none" and recipe.retrain.online is None and recipe.retrain.steps != 0


def _crops_margins(recipe: Recipe) -> bool:
    """Tell whether a crop of the target can lie in a margin as a whole."""
    online, augment = recipe.retrain.online, recipe.retrain.augment
    size = recipe.retrain.size or recipe.target.size
    if online is None or augment.crop is None or size is None:
        return False
    margins = max(online.margins[:2]), max(online.margins[2:])
    return any(
        share * whole * augment.scale[1] >= side for share, whole, side in zip(margins, size, augment.crop, strict=True)
    )


def _starts_from_nothing(recipe: Recipe) -> bool:
    uses_initial = recipe.retrain.moves_prototypes or _has_online(recipe, "scores", "initial")
    return recipe.retrain.init == "weights" and uses_initial


def _changes_labels_of_lrent(recipe: Recipe) -> bool:
    settings = recipe.retrain
    changes = settings.online is not None or settings.classmix or settings.loss != "cross-entropy"
    return settings.regulariser == "lrent" and changes


def _needs_teacher(setting: str, uses_teacher: Condition) -> Requirement:
    return Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.teacher is None and uses_teacher(recipe),
        f"retrain.{setting} needs a teacher, and there is none",
        "set retrain.teacher=0.999",
    )


def _strong_view_changes_colours(stage: str) -> Condition:
    def changes(recipe: Recipe) -> bool:
        strong = getattr(recipe, stage).strong
        return strong is not None and strong.changes_colours

    return changes


# The settings that use a teacher.
TEACHER_USES: dict[str, Condition] = {
    "keep=teacher": lambda recipe: recipe.retrain.keep == "teacher",
    "online.scores=teacher": lambda recipe: _has_online(recipe, "scores", "teacher"),
    "online.rectify": lambda recipe: _has_online(recipe, "rectify", True),
    "consistency": lambda recipe: recipe.retrain.consistency is not None,
}
REQUIREMENTS = (
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.steps is not None and recipe.retrain.epochs is not None,
        "retrain.steps={retrain.steps} and retrain.epochs={retrain.epochs} both say how long the training is",
        "set retrain.steps=null, or retrain.epochs=null",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.steps is None and recipe.retrain.epochs is None,
        "retrain.steps and retrain.epochs are both null, and one of them says how long the training is",
        "set retrain.steps=20000, or retrain.epochs=2",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.rounds > 1 and recipe.retrain.init == "weights" and not recipe.retrain.reads_labels,
        "rounds is {rounds}, and with retrain.init=weights and no stored labels a round reads nothing of the last",
        "set rounds=1, or retrain.init=warmup",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.draw == "joint" and recipe.retrain.source == "none",
        "retrain.draw=joint draws from one list of both domains, and retrain.source is none",
        "set retrain.source=source, or retrain.draw=separate",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.draw == "joint" and recipe.retrain.needs_whole_batches,
        "with retrain.draw=joint a batch may have no image of one domain, and teacher, online, strong, classmix, "
        "consistency, depth, masked, feature_distance and foundation need both",
        "set retrain.draw=separate",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.draw == "joint" and recipe.retrain.entropy_weight is not None,
        "with retrain.draw=joint a batch may have no image of the target, whose entropy "
        "retrain.entropy_weight={retrain.entropy_weight} penalises",
        "set retrain.draw=separate, or retrain.entropy_weight=null",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.draw == "joint" and bool(recipe.retrain.domain_specific_bn),
        "with retrain.draw=joint a batch may have no image of one domain, and retrain.adabn={retrain.adabn} "
        "normalises each by itself",
        "set retrain.adabn=after, or retrain.draw=separate",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.rare is not None and recipe.retrain.source == "none",
        "retrain.rare draws source images by their classes, and retrain.source is none",
        "set retrain.source=source, or retrain.rare=null",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.rare is not None and recipe.retrain.draw == "joint",
        "retrain.rare draws source images by their classes, and retrain.draw=joint draws each image once an epoch",
        "set retrain.draw=separate, or retrain.rare=null",
    ),
    Requirement(
        ("retrain",),
        _crops_margins,
        "crops of {retrain.augment.crop} pixels are no larger than a margin of the target's images, of "
        "retrain.online.margins={retrain.online.margins}: in some of them no label counts",
        "set retrain.online.margins=[0,0,0,0], or a larger retrain.augment.crop",
    ),
    Requirement(
        ("retrain",),
        _normalises_frozen,
        "retrain.teacher_norm={retrain.teacher_norm} normalises by each batch, and bn=frozen keeps the student's "
        "statistics as they are",
        "set retrain.teacher_norm=average, or retrain.bn=train",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.aligned_crops and recipe.retrain.augment.crop is None,
        "retrain.aligned_crops puts the crops of both domains at one place, and there is no crop",
        "set retrain.augment.crop=[256,256], smaller than the images, or retrain.aligned_crops=false",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.aligned_crops and recipe.retrain.source == "none",
        "retrain.aligned_crops puts the crops of both domains at one place, and retrain.source is none",
        "set retrain.source=source, or retrain.aligned_crops=false",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.aligned_crops and recipe.retrain.draw == "joint",
        "retrain.aligned_crops pairs a source and a target image, and retrain.draw=joint draws no pairs",
        "set retrain.draw=separate, or retrain.aligned_crops=false",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.aligned_crops and recipe.retrain.mine > 0,
        "retrain.aligned_crops puts the target's crops where the source's are, and retrain.mine={retrain.mine} puts "
        "them on rare classes",
        "set retrain.mine=0, or retrain.aligned_crops=false",
    ),
    *(_needs_teacher(setting, uses_teacher) for setting, uses_teacher in TEACHER_USES.items()),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.teacher is not None and not any(use(recipe) for use in TEACHER_USES.values()),
        "retrain.teacher={retrain.teacher} follows the student, and nothing uses it",
        "set retrain.keep=teacher, retrain.online={{}} or retrain.consistency=1, or retrain.teacher=null",
    ),
    Requirement(
        ("retrain",),
        _learns_nothing,
        "retrain.labels is none, and no teacher labels the target at every step",
        "set retrain.teacher=0.999 and retrain.online={{}}, or retrain.labels=pseudolabel",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: (
            recipe.retrain.labels == "none"
            and recipe.retrain.online is not None
            and recipe.retrain.online.pixels != "all"
        ),
        "retrain.labels is none, and the labels that are made online do not cover all pixels",
        "set retrain.online.pixels=all, or retrain.labels=pseudolabel",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.labels == "none" and recipe.retrain.mine > 0,
        "retrain.mine={retrain.mine} places crops by the stored labels, and retrain.labels is none",
        "set retrain.mine=0, or retrain.labels=pseudolabel",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.mine > 0 and recipe.retrain.augment.crop is None,
        "retrain.mine={retrain.mine} places crops on rare classes, and there is no crop",
        "set retrain.augment.crop=[256,256], smaller than the images, or retrain.mine=0",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.classmix and recipe.retrain.source == "none",
        "retrain.classmix pastes classes of the source, and retrain.source is none",
        "set retrain.source=source, or retrain.classmix=false",
    ),
    Requirement(
        ("retrain",),
        _starts_from_nothing,
        "prototypes and retrain.online.scores=initial are of the model that retraining starts from, and with "
        "retrain.init=weights it starts from none",
        "set retrain.init=warmup",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.regulariser == "lrent" and recipe.retrain.init == "weights",
        "regulariser lrent softens the labels with the model that retraining starts from, and with "
        "retrain.init=weights it starts from none",
        "set retrain.init=warmup, or retrain.regulariser=mrkld",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.regulariser == "mrl2" and recipe.retrain.effective_weight is None,
        "no weight of the regulariser mrl2 has been published, and retrain.effective_weight is not set",
        "set retrain.effective_weight=0.01, or retrain.regulariser=mrkld",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.fda is not None and recipe.retrain.source == "none",
        "retrain.fda={retrain.fda} gives the source a style, and retrain.source is none",
        "set retrain.source=source, or retrain.fda=null",
    ),
    Requirement(
        ("retrain",),
        _changes_labels_of_lrent,
        "regulariser lrent makes labels and a loss of its own, from the stored labels",
        "set retrain.regulariser=mrkld; or retrain.online=null, retrain.classmix=false, retrain.loss=cross-entropy",
    ),
)
READERS = (
    Reader(
        ("retrain.effective_weight",),
        lambda recipe: recipe.retrain.regulariser != "none",
        "there is no regulariser",
        "set retrain.regulariser=mrkld, or mrent, mrl2, lrent",
    ),
    Reader(
        ("retrain.entropy", "retrain.entropy_pixels"),
        lambda recipe: recipe.retrain.entropy_weight is not None,
        "no entropy is penalised",
        "set retrain.entropy_weight=0.001",
    ),
    Reader(
        ("retrain.temperature", "retrain.prototype_momentum"),
        lambda recipe: recipe.retrain.moves_prototypes,
        "no prototypes move",
        "set retrain.consistency, or retrain.online.rectify=true",
    ),
    Reader(
        ("retrain.teacher_norm",),
        _teacher_runs,
        "no teacher labels the target or moves prototypes",
        "set retrain.teacher=0.999 and retrain.online={}",
    ),
    Reader(
        tuple(f"retrain.rare.{name}" for name in ("crop_share", "max_share", "tries")),
        lambda recipe: recipe.retrain.augment.crop is not None,
        "there is no crop to place",
        "set retrain.augment.crop=[256,256]",
    ),
    *(
        Reader(
            (f"{stage}.strong.probability", f"{stage}.strong.method"),
            _strong_view_changes_colours(stage),
            "the strong view changes no colours",
            f"set {stage}.strong.jitter=0.2",
        )
        for stage in ("retrain", "distill")
    ),
    Reader(("retrain.mine_below",), lambda recipe: recipe.retrain.mine > 0, "nothing is mined", "set retrain.mine=0.8"),
    Reader(
        tuple(f"retrain.{name}" for name in ("source_fraction", "source_fraction_step", "source_fraction_max")),
        lambda recipe: recipe.retrain.source != "none",
        "it trains without the source",
        "set retrain.source=source",
    ),
    Reader(
        tuple(f"retrain.{name}" for name in ("lr_per_round", "source_fraction_step", "source_fraction_max")),
        lambda recipe: recipe.rounds > 1,
        "there is one round",
        "set rounds=2, or more",
    ),
)
