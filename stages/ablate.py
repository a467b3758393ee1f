"""udaseg ablate: run the chain of a recipe with each of its ingredients left out, over several seeds."""

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from udaseg.config import Recipe
from udaseg.config.load import change_recipe, load_recipe, resolve_recipe_name
from udaseg.config.rules import require_read
from udaseg.errors import UdasegError, join_names
from udaseg.io.files import read_json, write_json
from udaseg.pipeline.reuse import adopt

from . import chain, made, origin
from .session import ROUND, Session, emit, say, staged
from .tables import ablation_table, read_metrics

FIGURES = "ablation.json"
FULL = "full"  # the recipe as it is, with which the others are compared
FIRST_ROUND = "round1"  # the directory of the first of several rounds


def run(session: Session, seeds: Sequence[int]) -> None:
    variants, folder = _variants(session), session.out or session.run / "ablation"
    require_read(session.asked, [recipe for _, recipe in variants.values()])
    before = _seeds_of(folder / FIGURES)  # before hours of work: a damaged file is said first
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for seed in seeds:
        done = [session.run]
        for name, (kept, recipe) in variants.items():
            place = folder / f"seed{seed}" / name
            own = {
                "recipe": recipe.model_copy(update={"seed": seed}),
                "run": place,
                "opened": {},
                "force": session.force,
            }
            inner = replace(session.inside(), **own, origin=session.origin | {"recipe": kept, "seed": seed})
            if session.dry_run:
                todo = [row["stage"] for row in chain.states(inner) if row["state"] != "up to date" or session.force]
                plan = f"would run {', '.join(todo)}" if todo else "up to date"
                say(f"ablate: {name}, seed {seed}, in {place}: {plan}")
                continue
            say(f"ablate: {name}, seed {seed}, in {place}")
            found[name].append(_scored(inner, done))
            done.append(place)
    if session.dry_run:
        say("ablate: stages that would come out the same in several variants run in the first of them")
        return
    document = _document(session.recipe, seeds, found)
    for name, runs in found.items():
        if name != FULL and runs == found[FULL]:
            say(f"ablate: warning: {name} scores as {FULL} in every class: what it changes makes no difference")
    if gone := [str(seed) for seed in before if seed not in seeds]:
        every = ",".join(map(str, sorted({*before, *seeds})))
        had = f"{folder / FIGURES} had seed {join_names(gone)} too"
        say(f"ablate: {had}: --seeds {every} shows all, and trains none anew")
    write_json(folder / FIGURES, document)
    table = ablation_table(document)
    emit(session, document, table)
    over = f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
    say(f"ablate: {len(variants)} variants over {over}; the figures are in {folder / FIGURES}")


def _variants(session: Session) -> dict[str, tuple[str, Recipe]]:
    """Resolve all variants before the first of them is run; each with the name by which its run remembers it."""
    recipe = session.recipe
    if not recipe.ablation:
        raise UdasegError(
            f"recipe {recipe.name} lists nothing to leave out",
            "add to a recipe of yours what each variant changes, as in  ablation: {teacher: {retrain.teacher: null}}, "
            "or its recipe; --recipe gta2city has a list",
        )
    if FULL in recipe.ablation:
        raise UdasegError(f"ablation.{FULL} is the name of the recipe as it is", "give that variant another name")
    own = session.origin["recipe"]
    variants = {FULL: (own, recipe)}
    for name, without in recipe.ablation.items():
        if isinstance(without, str):
            other = load_recipe(without, scale=recipe.scale, changes=session.changes)
            variants[name] = resolve_recipe_name(without), other
        else:
            variants[name] = own, change_recipe(recipe, without, f"{recipe.name}: ablation: {name}")
            if variants[name][1] == recipe:
                raise UdasegError(
                    f"recipe {recipe.name}: ablation: {name} changes nothing: the recipe has these values already",
                    f"give it other values, or take {name} out",
                )
    for _, variant in variants.values():
        if not any(stage.startswith("evaluate") for stage in variant.chain):
            raise UdasegError(f"the chain of recipe {variant.name} evaluates nothing", "add evaluate to its chain")
    return variants


def _scored(session: Session, done: Sequence[Path]) -> dict[str, Any]:
    """Run the chain, but for what is finished in another run and would come out the same; read its last score."""
    if not session.force:
        _adopt(session, done)
    origin.write(session.run, session.origin)  # all stages may be taken over, and none of them writes it
    scores: Path | None = None
    for name, inside in chain.jobs(session):
        stage = chain.STAGES[name]
        stage.run(inside)
        if name.startswith("evaluate"):
            scores = stage.job(inside).out
    metrics = None if scores is None else read_metrics(scores)
    assert metrics is not None
    if metrics["miou"] is None:
        raise UdasegError(
            f"{scores}: none of the classes occurs, so there is no mean",
            "udaseg data check tells which classes the labels of the target have",
        )
    return metrics


def _adopt(session: Session, done: Sequence[Path]) -> None:
    """Take over from other runs, as far as they reach, the stages that would come out the same."""
    # No chain names the class counts: the stages that read them make them.
    planned = [("stats", made.stats_job, session)]
    planned += [(name, chain.STAGES[name].job, inside) for name, inside in chain.jobs(session)]
    adopted = True
    while adopted:  # a stage may wait for one that comes later in the chain, as warmup for stylize
        adopted = False
        for name, plan, inside in planned:
            with suppress(UdasegError):  # what it reads is not there yet
                job = plan(inside)
                places = (other / own for other in done for own in _alike(job.out.relative_to(session.run)))
                taken = next((place for place in places if adopt(job, place)), None)
                if taken is not None:
                    say(f"{name}: taken over from {taken}")
                    adopted = True


def _alike(stage: Path) -> list[Path]:
    """Name a stage's directory in a run, and in one of more rounds or of one, where the first is the same work."""
    if stage.parts[0] == FIRST_ROUND:
        return [stage, stage.relative_to(FIRST_ROUND)]
    return [stage, Path(FIRST_ROUND) / stage] if stage.name in ROUND else [stage]


def _document(recipe: Recipe, seeds: Sequence[int], found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Set the scores of the variants beside each other; differences to the full recipe are taken seed by seed."""
    full = [metrics["miou"] for metrics in found[FULL]]
    variants = {}
    for name, runs in found.items():
        miou = [metrics["miou"] for metrics in runs]
        change = [one - other for one, other in zip(miou, full, strict=True)]
        variants[name] = {
            "changes": recipe.ablation.get(name, {}),
            "miou": miou,
            "iou": [metrics["iou"] for metrics in runs],
            "mean": statistics.fmean(miou),
            "deviation": statistics.stdev(miou) if len(miou) > 1 else None,
            "change": statistics.fmean(change),
            "change_deviation": statistics.stdev(change) if len(change) > 1 else None,
        }
    classes = found[FULL][0]["classes"]
    return {
        "recipe": recipe.name,
        "scale": recipe.scale,
        "seeds": list(seeds),
        "classes": classes,
        "variants": variants,
    }


def _seeds_of(figures: Path) -> list[int]:
    """Read the seeds of an ablation that was made here before; none where there was none."""
    seeds = (read_json(figures) or {}).get("seeds", [])
    if not isinstance(seeds, list) or not all(isinstance(seed, int) for seed in seeds):
        raise UdasegError(
            f"{figures}: seeds is {seeds!r}, expected whole numbers", f"remove {figures}; it is made again"
        )
    return seeds


def _seeds(text: str) -> list[int]:
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdigit() for part in parts) or len(set(parts)) < len(parts):
        raise UdasegError(f"--seeds {text}: expected whole numbers from 0, each once", "for example --seeds 0,1,2")
    return [int(part) for part in parts]


@staged(without=("estimate", "seed", "round_"))
def command(
    open_session,
    seeds: Annotated[str, typer.Option(help="The seeds to run every variant with.")] = "0,1,2",
) -> None:
    """Run a recipe as it is, and with each of the ingredients left out that it lists under `ablation`.

    Example: udaseg ablate --recipe gta2city --scale toy --seeds 0,1,2
    """
    run(open_session(variants=True), _seeds(seeds))
