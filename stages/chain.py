"""The stages by the names that recipes give them in `chain`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from udaseg.errors import UdasegError, did_you_mean
from udaseg.pipeline import artifacts
from udaseg.pipeline.artifacts import Job

from . import distill, evaluate, made, mixtures, products, pseudolabel, refine, report, retrain, warmup
from .session import ROUND, Session


class Stage(NamedTuple):
    """What a stage is about to do, and the doing."""

    job: Callable[[Session], Job]
    run: Callable[[Session], None]


def _evaluation(of: str | None = None) -> Stage:
    """Evaluate the model of a stage, by default the one that the recipe results in."""

    def reading(session: Session) -> Session:
        return session.reading("model", Path(of or products.adapted(session)))

    return Stage(lambda session: evaluate.job(reading(session)), lambda session: evaluate.run(reading(session)))


STAGES: dict[str, Stage] = {
    "pretrain": Stage(warmup.pretrain_job, warmup.first_phase),
    "warmup": Stage(warmup.job, warmup.run),
    "prior": Stage(made.prior_job, made.prior),
    "stylize": Stage(made.stylize_job, made.stylize),
    "predict": Stage(made.predict_job, made.predict),
    "pseudolabel": Stage(pseudolabel.job, pseudolabel.run),
    "refine": Stage(refine.job, refine.run),
    "prototypes": Stage(made.prototypes_job, made.prototypes),
    "gmm": Stage(mixtures.job, mixtures.make),
    "retrain": Stage(retrain.job, retrain.run),
    "distill": Stage(distill.job, distill.run),
    "evaluate-pretrain": _evaluation("pretrain"),
    "evaluate-warmup": _evaluation("warmup"),
    "evaluate-retrain": _evaluation("retrain"),
    "evaluate": _evaluation(),
    "report": Stage(report.job, report.run),
}


def jobs(session: Session) -> list[tuple[str, Session]]:
    """Give the stages of the recipe's chain, in order, each with the session of its round.

    The stages of self-training stand there once for every round; the others before the first or after the last.
    """
    chain, rounds = session.recipe.chain, session.recipe.rounds
    unknown = [stage for stage in chain if stage not in STAGES]
    if unknown:
        raise UdasegError(
            f"recipe {session.recipe.name}: chain: there is no stage {', '.join(unknown)}",
            f"{did_you_mean(unknown[0], STAGES)}known: {', '.join(STAGES)}",
        )
    inner = [stage for stage in chain if stage in ROUND]
    until = max((chain.index(stage) for stage in inner), default=len(chain))
    before = [stage for stage in chain[:until] if stage not in ROUND]
    after = [stage for stage in chain[until:] if stage not in ROUND]
    if rounds == 1:
        return [(stage, session) for stage in chain]
    repeated = [(stage, session.of_round(number)) for number in range(1, rounds + 1) for stage in inner]
    return [*((stage, session) for stage in before), *repeated, *((stage, session) for stage in after)]


def states(session: Session) -> list[dict[str, Any]]:
    """Look at every stage of the chain without running any: is it up to date, has it to run, what is it waiting for?"""
    session = replace(session, dry_run=True)
    rendered = made.rendered(session)
    found = []
    for stage, inside in jobs(session):
        folder = inside.folder(stage)
        manifest = artifacts.read_manifest(folder)
        try:
            why = artifacts.reasons(STAGES[stage].job(inside)) if rendered else ["toytown is not rendered yet"]
            state = "up to date" if not why else "to run"
        except UdasegError as error:
            state, why = "waiting", [error.message]
        found.append(
            {
                "stage": folder.relative_to(session.run).as_posix(),
                "state": state,
                "why": why,
                "finished": manifest and manifest["started"],
                "seconds": manifest and manifest["seconds"],
                "metrics": manifest and manifest["metrics"],
                "path": str(folder),
            }
        )
    return found


def gaps(session: Session) -> list[str]:
    """Say which stages of the recipe's chain read one that it does not run before them."""
    recipe, found = session.recipe, []
    retrain = recipe.retrain
    read = {
        "refine": ["pseudolabel"],
        "prototypes": [] if recipe.prototypes.domain == "source" else [made.prototype_labels(recipe)],
        "retrain": [
            *(["warmup"] if retrain.init == "warmup" else []),
            *(["stylize"] if retrain.source == "stylize" else []),
            *([retrain.labels] if retrain.labels != "none" else []),
        ],
        "distill": ["retrain"],
        "evaluate": [products.adapted(session)],
        **{f"evaluate-{stage}": [stage] for stage in ("pretrain", "warmup", "retrain")},
    }
    for i, stage in enumerate(recipe.chain):
        missing = [needed for needed in read.get(stage, ()) if needed not in recipe.chain[:i]]
        found += [f"chain: {stage} reads {needed}, which is not run before it" for needed in missing]
    return found
