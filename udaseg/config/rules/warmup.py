"""Rules of the warm-up and of the phase before it: style, adversary, depth and density."""

from collections.abc import Callable

from udaseg.config.recipe import Recipe
from udaseg.config.rules.table import Reader, Requirement
from udaseg.config.rules.training import holds_of
from udaseg.config.sections.training import Training

PHASES = ("pretrain", "warmup")
FINE = "fine-grained"


def _style_once(stage: str) -> Requirement:
    return Requirement(
        (stage,),
        holds_of(stage, lambda recipe, settings: settings.fda is not None and settings.source == "stylize"),
        f"{stage}.fda gives every drawn source image a style, and {stage}.source=stylize has given it one already",
        f"set {stage}.source=source, or {stage}.fda=null",
    )


def _density_needs(stage: str, setting: str, act: str, changes: Callable[[Recipe, Training], bool]) -> Requirement:
    """The density head learns where in the source's images a class lies: batches must not move it."""
    return Requirement(
        (stage,),
        holds_of(stage, lambda recipe, settings: "density" in recipe.model.heads and changes(recipe, settings)),
        f"the density head learns where in the whole image the classes of the source lie, and the images are {act}",
        f"set {setting}, or model.heads=[depth]",
    )


def _whole_images(stage: str) -> tuple[Requirement, ...]:
    augment = f"{stage}.augment"
    return (
        _density_needs(stage, f"{augment}.crop=null", "cut", lambda _, training: training.augment.crop is not None),
        _density_needs(
            stage, f"{augment}.scale=[1,1]", "scaled", lambda _, training: training.augment.scale != (1.0, 1.0)
        ),
        _density_needs(stage, f"{augment}.flip=0", "mirrored", lambda _, training: training.augment.flip > 0.0),
        _density_needs(stage, "source.pad=false", "padded", lambda recipe, _: recipe.source.pad),
    )


def _lacks_inner_classifier(recipe: Recipe) -> bool:
    return recipe.model.architecture != "bisenet" and recipe.model.auxiliary is None


def _aligns_inner_level(recipe: Recipe) -> bool:
    return recipe.adversary.auxiliary is not None and recipe.adversary.align not in ("none", FINE)


def _inner_entropy_needs_classifier(stage: str) -> Requirement:
    return Requirement(
        (stage,),
        holds_of(
            stage,
            lambda recipe, settings: settings.entropy_auxiliary is not None and _lacks_inner_classifier(recipe),
        ),
        f"{stage}.entropy_auxiliary penalises an inner level of the network, and the network has no classifier there",
        f"set model.auxiliary=0.1 to add one, or {stage}.entropy_auxiliary=null",
    )


def _trains_on_target(recipe: Recipe) -> bool:
    is_aligned = recipe.adversary.align != "none" or recipe.warmup.entropy_weight is not None
    return is_aligned or "density" in recipe.model.heads


REQUIREMENTS = (
    Requirement(
        ("warmup",),
        lambda recipe: "pretrain" in recipe.chain and recipe.pretrain is None,
        "the chain has the stage pretrain, and the recipe {name} has no pretrain section",
        "add a section pretrain, or take pretrain out of the chain",
    ),
    *map(_style_once, (*PHASES, "retrain")),
    *map(_inner_entropy_needs_classifier, PHASES),
    *(requirement for stage in PHASES for requirement in _whole_images(stage)),
    Requirement(
        ("warmup",),
        lambda recipe: recipe.adversary.align == "fused" and not recipe.model.heads,
        "the fused adversary looks at entropy times estimated density or depth, and no head estimates any",
        "set model.heads=[depth,density], or adversary.align=entropy",
    ),
    Requirement(
        ("warmup",),
        lambda recipe: (
            recipe.adversary.align == "fused"
            and not {*(recipe.adversary.maps or ())} <= {"segmentation", *recipe.model.heads}
        ),
        "adversary.maps={adversary.maps} has a map that no head estimates",
        "set model.heads=[depth,density], or adversary.maps=[segmentation]",
    ),
    Requirement(
        ("warmup",),
        lambda recipe: (
            recipe.adversary.align == FINE
            and (recipe.adversary.loss, recipe.adversary.discriminator) != ("vanilla", "full")
        ),
        "the fine-grained adversary has a discriminator and a loss of its own, not {adversary.discriminator} and "
        "{adversary.loss}",
        "leave out adversary.discriminator and adversary.loss, or set adversary.align to output or entropy",
    ),
    Requirement(
        ("warmup",),
        lambda recipe: recipe.adversary.align == FINE and recipe.adversary.auxiliary is not None,
        "the fine-grained adversary looks at the last features, and adversary.auxiliary aligns an inner level",
        "set adversary.auxiliary=null, or adversary.align to output or entropy",
    ),
    Requirement(
        ("warmup",),
        lambda recipe: _aligns_inner_level(recipe) and _lacks_inner_classifier(recipe),
        "adversary.auxiliary aligns an inner level of the network, and the network has no classifier there",
        "set model.auxiliary=0.1 to add one, or adversary.auxiliary=null",
    ),
)
READERS = (
    Reader(
        ("warmup.adabn",),
        lambda recipe: recipe.warmup.adabn != "separate" or _trains_on_target(recipe),
        "separate is about batches of both domains, and the warm-up trains on the source alone",
        "set adversary.align=output, or warmup.adabn=after",
    ),
    Reader(
        ("stylize",),
        lambda recipe: recipe.warmup.fda is None or recipe.warmup.source == "stylize" or "stylize" in recipe.chain,
        "warmup.fda gives every drawn image a new style, in a square window",
        "set warmup.fda to the beta, or warmup.fda=null warmup.source=stylize",
        commands=("stylize", "retrain", "distill"),
    ),
    *(
        Reader(
            tuple(f"{stage}.{name}" for name in ("entropy", "entropy_auxiliary", "entropy_from")),
            holds_of(stage, lambda recipe, settings: settings.entropy_weight is not None),
            "no entropy is penalised",
            f"set {stage}.entropy_weight=0.001",
        )
        for stage in PHASES
    ),
    Reader(
        tuple(f"adversary.{name}" for name in ("loss", "discriminator", "weight", "auxiliary", "lr", "betas")),
        lambda recipe: recipe.adversary.align != "none",
        "there is no adversary",
        "set adversary.align=output, or entropy, fine-grained, fused",
    ),
    Reader(
        ("adversary.maps",),
        lambda recipe: recipe.adversary.align == "fused",
        "the adversary has one input, of another kind",
        "set adversary.align=fused",
    ),
    Reader(
        ("model.width",),
        lambda recipe: recipe.model.architecture in ("fpn", "segformer", "daformer", "aspp", "dilated"),
        "this decoder has no width of its own",
        "set model.decoder=fpn, segformer, daformer, aspp or dilated",
    ),
    Reader(
        ("model.auxiliary",),
        lambda recipe: recipe.model.architecture in ("deeplab", "fpn", "bisenet"),
        "this decoder has no classifiers on inner layers",
        "set model.decoder=fpn, deeplab or bisenet",
    ),
    Reader(
        ("model.aspp",),
        lambda recipe: recipe.model.architecture in ("deeplab", "aspp"),
        "this decoder has no ASPP",
        "set model.name=deeplab, or model.decoder=deeplab with an encoder",
    ),
)
