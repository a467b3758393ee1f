"""The stages by the names that recipes give them in `chain`."""

from collections.abc import Callable
from pathlib import Path

from udaseg.artifacts import Job
from udaseg.errors import UdasegError

from . import evaluate, gmm, made, prototypes, pseudolabel, refine, report, retrain, stylize, warmup
from .session import Session

JOBS: dict[str, Callable[[Session], Job]] = {
    "warmup": warmup.job,
    "stylize": stylize.job,
    "predict": made.predict_job,
    "pseudolabel": pseudolabel.job,
    "refine": refine.job,
    "prototypes": prototypes.job,
    "gmm": gmm.job,
    "retrain": retrain.job,
    "evaluate-warmup": lambda session: evaluate.job(session.reading("model", Path("warmup"))),
    "evaluate": lambda session: evaluate.job(session.reading("model", Path("retrain"))),
    "report": report.job,
}


def jobs(session: Session) -> list[tuple[str, Callable[[Session], Job]]]:
    """Give the stages of the recipe's chain, in order."""
    unknown = [stage for stage in session.recipe.chain if stage not in JOBS]
    if unknown:
        raise UdasegError(
            f"recipe {session.recipe.name}: chain: there is no stage {', '.join(unknown)}", f"known: {', '.join(JOBS)}"
        )
    return [(stage, JOBS[stage]) for stage in session.recipe.chain]
