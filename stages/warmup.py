"""udaseg warmup: train on the labelled source, and align the target where the recipe has an adversary."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from udaseg.config import Adversary, Recipe
from udaseg.config.rules import require_consistent
from udaseg.errors import UdasegError
from udaseg.parallel import processes
from udaseg.pipeline.artifacts import Job

from . import inputs, made, mixtures, products, training
from .options import refuse_unread
from .progress import progress
from .session import Session, staged, working

PRETRAIN = "pretrain"  # the phase before, in a directory of its own


def job(session: Session, phase: str = "warmup") -> Job:
    recipe = session.recipe
    require_consistent(recipe, phase)
    settings = {
        "space": recipe.space,
        "source": inputs.seen(recipe.source),
        "model": recipe.model.model_dump(),
        phase: recipe.warmup.model_dump(),
    }
    given = inputs.training_source(session, recipe.warmup.source)
    if recipe.pretrain is not None:
        given[PRETRAIN] = session.input(session.finished(PRETRAIN, "udaseg warmup --pretrain") / "model.pt")
    else:
        given |= training.first_weights(session, recipe.model.weights)
    if recipe.adversary.align != "none":
        settings["adversary"] = recipe.adversary.model_dump()
    if recipe.model.heads:
        settings["depth"] = recipe.depth.model_dump()
    if "density" in recipe.model.heads:
        given["mixtures"] = session.input(mixtures.file(session))
    if _counts_classes(recipe):
        given["class counts"] = session.input(products.class_counts_file(session))
    if _reads_target(recipe):
        settings["target"] = inputs.seen(recipe.target)
        given["target"] = inputs.fingerprinted(inputs.target_images(session))
    return Job(phase, session.out or session.folder(phase), settings, given, recipe.seed)


def pretrain_job(session: Session) -> Job:
    return job(_alone(session), PRETRAIN)


def _alone(session: Session) -> Session:
    """Give the session of the phase before: the source alone."""
    recipe = session.recipe
    if recipe.pretrain is None:
        raise UdasegError(
            f"recipe {recipe.name} has no pretrain section: its warm-up starts from model.weights",
            "udaseg warmup without --pretrain is its first phase",
        )
    first = {"warmup": recipe.pretrain, "pretrain": None, "adversary": Adversary()}
    return replace(session, recipe=recipe.model_copy(update=first))


def _counts_classes(recipe: Recipe) -> bool:
    return recipe.warmup.class_weights or recipe.warmup.class_balanced


def _reads_target(recipe: Recipe) -> bool:
    """Tell whether the recipe's warm-up, or the phase before it, looks at target images."""
    settings = recipe.warmup
    aligns = recipe.adversary.align != "none" or "density" in recipe.model.heads
    return aligns or settings.adabn or settings.entropy_weight is not None or settings.fda is not None


def _prepare(session: Session) -> None:
    """Make what is missing, after a look at what can only be given."""
    recipe = session.recipe
    if recipe.model.heads and not inputs.source(session).has_depth:
        raise UdasegError(
            f"the heads {', '.join(recipe.model.heads)} learn the depth of the source, and {recipe.source.dataset} has "
            "no depth for all of its images",
            "choose a source with depth, such as synthia, or set model.heads=[]",
        )
    if recipe.warmup.source == "stylize":
        made.stylize(session.inside())
    if "density" in recipe.model.heads and session.given("mixtures") is None:
        mixtures.make(session.inside())
    if _counts_classes(recipe) and session.given("class_counts") is None:
        made.stats(session.inside())
    if recipe.pretrain is not None:
        first_phase(session.inside())


def first_phase(session: Session) -> None:
    """Train the phase before the warm-up."""
    run(_alone(session), PRETRAIN)


def run(session: Session, phase: str = "warmup") -> None:
    recipe = session.recipe
    require_consistent(recipe, phase)
    reads_target = _reads_target(recipe)
    _prepare(session)
    todo = job(session, phase)
    with working(session, todo, shared=True) as result:
        if result is None:
            return
        from udaseg.data.image_sets import View
        from udaseg.data.sampling import ClassBalance
        from udaseg.statistics.class_counts import class_weights, read_pixels, read_shown
        from udaseg.train import adversary
        from udaseg.train.warmup import warmup

        target = inputs.target_images(session) if reads_target else None
        source = inputs.styled_source(session, recipe.warmup.source)
        paths = {name: Path(given.path) for name, given in todo.inputs.items()}
        counts = read_pixels(paths["class counts"], source.space.classes) if recipe.warmup.class_weights else None
        shown = None
        if recipe.warmup.class_balanced:
            stems = [record.stem for record in source.records]
            shown = read_shown(paths["class counts"], source.space.classes, stems)
        first = {"weights": str(paths[PRETRAIN])} if PRETRAIN in paths else {}
        with progress(phase, "steps") as show:
            trained = warmup(
                View(source, recipe.source.size, recipe.source.pad),
                None if target is None else View(target, recipe.target.size, recipe.target.pad),
                recipe.model.model_copy(update=first),
                recipe.warmup,
                todo.out,
                seed=recipe.seed,
                adversary=recipe.adversary,
                depth=recipe.depth,
                densities=mixtures.densities(session, paths["mixtures"]) if "mixtures" in paths else None,
                class_weights=None if counts is None else class_weights(counts),
                class_balance=None if shown is None else ClassBalance(shown),
                progress=show,
            )
        result.environment = trained.environment
        result.warnings += trained.warnings
        if not processes.is_first():
            return
        training.adapt_statistics(session, todo, recipe.warmup, target)
        result.warnings += _colour_alone(recipe, phase)
        if recipe.adversary.align != "none":
            result.warnings += adversary.training_warnings(todo.out / "log.jsonl")
        training.ended(todo, result, recipe.warmup.steps, len(source), "images")


def _colour_alone(recipe: Recipe, phase: str) -> list[str]:
    """Say where the style that a training draws is too narrow a band to hold more than the mean colour."""
    from udaseg.data.style.fda import half_width

    beta, size = recipe.warmup.fda, recipe.warmup.augment.crop or recipe.source.size
    if beta is None or size is None or max(half_width(*size, beta)) > 0:
        return []
    least = math.ceil(1000 / min(size)) / 1000
    return [
        f"{phase}.fda={beta} of {size[0]}x{size[1]} pixels is less than one frequency: the images take over the "
        f"target's mean colour and nothing else; {least} and more takes over contrast too"
    ]


@staged
def command(
    open_session,
    steps: training.StepsOption = None,
    batch: training.BatchOption = None,
    lr: training.LrOption = None,
    mixtures: Annotated[Path | None, typer.Option(help="The gmm.h5 that the density head learns from.")] = None,
    class_counts: Annotated[Path | None, typer.Option(help="A stats.json of the source, for class weights.")] = None,
    pretrain: Annotated[bool, typer.Option("--pretrain", help="The phase before, on the source alone.")] = False,
) -> None:
    """Train a network on the labelled source; align the target with it where the recipe has an adversary.

    Example: udaseg warmup --recipe gta2city --steps 20000
    """
    phase = PRETRAIN if pretrain else "warmup"
    changes = training.changes(phase, steps, batch, lr)
    session = open_session(changes, {"mixtures": mixtures, "class_counts": class_counts})
    recipe = _alone(session).recipe if pretrain else session.recipe
    if "density" not in recipe.model.heads:
        why, hint = "the network estimates no density", "set model.heads=[depth,density]"
        refuse_unread({"--mixtures": mixtures}, why, hint)
    if not _counts_classes(recipe):
        why = f"{phase}.class_weights and {phase}.class_balanced are off"
        refuse_unread({"--class-counts": class_counts}, why, f"set {phase}.class_weights=true")
    (first_phase if pretrain else run)(session)
