"""udaseg ablate: run the chain of a recipe with each of its ingredients left out, over several seeds."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from udaseg.config import Recipe
from udaseg.config.load import change_recipe, load_recipe, resolve_recipe_name
from udaseg.config.rules import require_read
from udaseg.errors import UdasegError, join_names
from udaseg.io.documents.ablation import Ablation
from udaseg.io.documents.read import read_document
from udaseg.io.files import write_json
from udaseg.pipeline import chain, chain_status, run_file
from udaseg.pipeline.chain_weights import fetch_weights, require_weights
from udaseg.pipeline.log import log
from udaseg.pipeline.places import dataset_root
from udaseg.pipeline.reuse_chain import reuse_stages
from udaseg.pipeline.run import Run

from .terminal.command import run_command
from .terminal.options import parse_seeds
from .terminal.result import print_result
from .terminal.tables import ablation_table, read_metrics

FIGURES = "ablation.json"
FULL = "full"  # the recipe as it is, with which the others are compared


def run_variants(run: Run, seeds: Sequence[int]) -> None:
    """Run the recipe and its variants with every seed, then write and print their scores."""
    variants, folder = _variants(run), run.out or run.folder / "ablation"
    require_read(run.setting_flags, [recipe for _, recipe in variants.values()])
    earlier = read_document(folder / FIGURES, Ablation, f"remove {folder / FIGURES}; it is made again")
    scores: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for seed in seeds:
        finished = [run.folder]
        for name, (recipe_name, recipe) in variants.items():
            variant = _run_of_variant(run, folder / f"seed{seed}" / name, recipe_name, recipe, seed)
            finished.append(variant.folder)
            if run.dry_run:
                _log_plan(name, seed, variant)
                continue
            log(f"ablate: {name}, seed {seed}, in {variant.folder}")
            scores[name].append(_run_and_score(variant, finished[:-1]))
    if run.dry_run:
        log("ablate: stages that would come out the same in several variants run in the first of them")
        return
    document = _document(run.recipe, seeds, scores)
    for name, metrics in scores.items():
        if name != FULL and metrics == scores[FULL]:
            log(f"ablate: warning: {name} scores as {FULL} in every class: what it changes makes no difference")
    if earlier is not None and (dropped := [str(seed) for seed in earlier.seeds if seed not in seeds]):
        every = ",".join(map(str, sorted({*earlier.seeds, *seeds})))
        had = f"{folder / FIGURES} had seed {join_names(dropped)} too"
        log(f"ablate: {had}: --seeds {every} shows all, and trains none anew")
    write_json(folder / FIGURES, document)
    print_result(run, document, ablation_table(document))
    over = f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
    log(f"ablate: {len(variants)} variants over {over}; the figures are in {folder / FIGURES}")


def _run_of_variant(run: Run, folder: Path, recipe_name: str, recipe: Recipe, seed: int) -> Run:
    return replace(
        run.for_dependency(),
        recipe=recipe.model_copy(update={"seed": seed}),
        folder=folder,
        datasets={},
        digests={},
        force=run.force,
        remembered=run.remembered | {"recipe": recipe_name, "seed": seed},
    )


def _log_plan(name: str, seed: int, variant: Run) -> None:
    stages = [row["stage"] for row in chain_status.states(variant) if row["state"] != "up to date" or variant.force]
    plan = f"would run {', '.join(stages)}" if stages else "up to date"
    log(f"ablate: {name}, seed {seed}, in {variant.folder}: {plan}")


def _variants(run: Run) -> dict[str, tuple[str, Recipe]]:
    """Resolve all variants before the first of them is run; each with the name by which its run remembers it."""
    recipe = run.recipe
    if not recipe.ablation:
        raise UdasegError(
            f"recipe {recipe.name} lists nothing to leave out",
            "add to a recipe of yours what each variant changes, as in  ablation: {teacher: {retrain.teacher: null}}, "
            "or its recipe; --recipe gta2city has a list",
        )
    if FULL in recipe.ablation:
        raise UdasegError(f"ablation.{FULL} is the name of the recipe as it is", "give that variant another name")
    recipe_name = run.remembered["recipe"]
    variants = {FULL: (recipe_name, recipe)}
    for name, without in recipe.ablation.items():
        if isinstance(without, str):
            other = load_recipe(without, scale=recipe.scale, changes=run.changes)
            variants[name] = resolve_recipe_name(without), other
        else:
            variants[name] = recipe_name, change_recipe(recipe, without, f"{recipe.name}: ablation: {name}")
            if variants[name][1] == recipe:
                raise UdasegError(
                    f"recipe {recipe.name}: ablation: {name} changes nothing: the recipe has these values already",
                    f"give it other values, or take {name} out",
                )
    for _, variant in variants.values():
        require_weights(chain.steps(replace(run, recipe=variant)))
        if not any(stage.startswith("evaluate") for stage in variant.chain):
            raise UdasegError(f"the chain of recipe {variant.name} evaluates nothing", "add evaluate to its chain")
    return variants


def _run_and_score(run: Run, finished: Sequence[Path]) -> dict[str, Any]:
    """Run the chain, reusing stages of finished runs that would come out the same; return its last scores."""
    if not run.force:
        reuse_stages(run, finished)
    run_file.write(run.folder, run.remembered)  # no stage writes it where all are reused
    evaluation: Path | None = None
    steps = chain.steps(run)
    fetch_weights(steps)
    for step in steps:
        job = step.execute()
        if step.stage.name == chain.EVALUATE:
            evaluation = job.out
    metrics = None if evaluation is None else read_metrics(evaluation)
    assert metrics is not None
    if metrics["miou"] is None:
        from udaseg.data.findings import check_command

        root = dataset_root(run.recipe.data, run.recipe.target)
        raise UdasegError(
            f"{evaluation}: none of the classes occurs, so there is no mean",
            f"see which classes the labels have: {check_command(root)}",
        )
    return metrics


def _document(recipe: Recipe, seeds: Sequence[int], scores: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Set the scores of the variants beside each other; differences to the full recipe are taken seed by seed."""
    full = [metrics["miou"] for metrics in scores[FULL]]
    variants = {}
    for name, runs in scores.items():
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
    classes = scores[FULL][0]["classes"]
    return {
        "recipe": recipe.name,
        "scale": recipe.scale,
        "seeds": list(seeds),
        "classes": classes,
        "variants": variants,
    }


@run_command(without=("estimate", "seed", "round_"))
def command(
    open_run,
    seeds: Annotated[str, typer.Option(help="The seeds to run every variant with.")] = "0,1,2",
) -> None:
    """Run a recipe as it is, and with each of the ingredients left out that it lists under `ablation`.

    Example: udaseg ablate --recipe gta2city --scale toy --seeds 0,1,2
    """
    run_variants(open_run(variants=True), parse_seeds(seeds))
