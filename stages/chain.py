"""The stages by the names that recipes give them in `chain`."""

from collections.abc import Callable
from pathlib import Path

from udaseg.artifacts import Job
from udaseg.errors import UdasegError

from . import evaluate, gmm, made, prototypes, pseudolabel, refine, report, retrain, warmup
from .session import ROUND, Session

JOBS: dict[str, Callable[[Session], Job]] = {
    "warmup": warmup.job,
    "prior": made.prior_job,
    "stylize": made.stylize_job,
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


def jobs(session: Session) -> list[tuple[str, Session]]:
    """Give the stages of the recipe's chain, in order, each with the session of its round.

    The stages of self-training stand there once for every round; the others before the first or after the last.
    """
    chain, rounds = session.recipe.chain, session.recipe.rounds
    unknown = [stage for stage in chain if stage not in JOBS]
    if unknown:
        raise UdasegError(
            f"recipe {session.recipe.name}: chain: there is no stage {', '.join(unknown)}", f"known: {', '.join(JOBS)}"
        )
    inner = [stage for stage in chain if stage in ROUND]
    until = max((chain.index(stage) for stage in inner), default=len(chain))
    before = [stage for stage in chain[:until] if stage not in ROUND]
    after = [stage for stage in chain[until:] if stage not in ROUND]
    if rounds == 1:
        return [(stage, session) for stage in chain]
    repeated = [(stage, session.of_round(number)) for number in range(1, rounds + 1) for stage in inner]
    return [*((stage, session) for stage in before), *repeated, *((stage, session) for stage in after)]
