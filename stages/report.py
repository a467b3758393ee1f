"""udaseg report: one page about a run, or about several side by side."""

import filecmp
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.pipeline import artifacts
from udaseg.pipeline.artifacts import Input, Job

from . import inputs
from .session import Session, emit, say, staged, working
from .tables import percent, read_metrics, scores_table

if TYPE_CHECKING:
    import numpy as np

    from udaseg.report import RunData

PAGE = "report.html"
BOUNDS = {"source": "source_only", "oracle": "oracle"}  # of a run, and the inputs that name them


def job(session: Session) -> Job:
    return _job([session], session.out or session.folder("report"), {})


def _job(sessions: Sequence[Session], out: Path, bounds: dict[str, list[Path]]) -> Job:
    given = {}
    for session in sessions:
        for manifest in sorted([*session.run.glob("*/manifest.json"), *session.run.glob("round*/*/manifest.json")]):
            # The page does not report on itself, nor on the page of the run alone.
            if manifest.parent not in (out, session.run / "report"):
                stage = manifest.parent.relative_to(session.run) if len(sessions) == 1 else manifest.parent
                # What a stage has left may have been taken away since, and its manifest still be there.
                state = f"{artifacts.digest(manifest)} {artifacts.digest(manifest.parent)}"
                given[str(stage)] = Input(str(manifest.parent), state)
        if not any(Path(one.path).is_relative_to(session.run) for one in given.values()):
            raise UdasegError(f"{session.run} holds no finished stage to report on", "run a stage first, or name a run")
    for role, paths in bounds.items():
        for path in paths:
            given[f"{role} {path}"] = session.input(_evaluated(path) / "metrics.json")
    chains = [session.recipe.chain for session in sessions]
    return Job("report", out, {"chain": chains[0] if len(sessions) == 1 else chains}, given)


def _evaluated(path: Path) -> Path:
    """Find the evaluation that a run came to, or that a path names."""
    from udaseg.report.collect import last_evaluation

    return last_evaluation(path)[1].folder


def _truth(session: Session) -> "Callable[[str], np.ndarray | None] | None":
    """Give a reader of the true labels of the target's training images; None where they are not at hand."""
    labelled = inputs.at_hand(session, "target truth")
    if labelled is None:
        return None
    places = {record.stem: i for i, record in enumerate(labelled.records)}
    return lambda stem: labelled.label(places[stem]) if stem in places else None


def _collect(session: Session, bounds: dict[str, Path]) -> "RunData":
    from udaseg.report import collect

    target = inputs.at_hand(session, "target images")
    if target is None:
        say(f"report: the target of {session.run} is not in {session.recipe.data}: its images are left out")
    images = {record.stem: record.image for record in target.records} if target else {}
    chain = [stage for stage in session.recipe.chain if stage != "report"]
    return collect(session.run, images, chain, truth=_truth(session), bounds=bounds)


def _bounds_of(session: Session, bounds: dict[str, list[Path]]) -> dict[str, Path]:
    """Choose, of the bounds that were given for several seeds, those of the run's own."""
    from udaseg.report.collect import read_stages
    from udaseg.report.compare import read_run
    from udaseg.report.scores import seed

    chosen, own = {}, seed(read_stages(session.run))
    for role, paths in bounds.items():
        fitting = paths if len(paths) == 1 else [path for path in paths if read_run(path).seed == own]
        if len(fitting) != 1:
            flag = BOUNDS[role].replace("_", "-")
            raise UdasegError(
                f"{len(fitting)} of the {len(paths)} runs given with --{flag} are of seed {own}, that of {session.run}",
                f"give one --{flag}, or one for each seed",
            )
        chosen[role] = fitting[0]
    return chosen


def run(session: Session) -> None:
    _write([session], job(session), {})


def _write(sessions: Sequence[Session], todo: Job, bounds: dict[str, list[Path]]) -> None:
    session, alone = sessions[0], len(sessions) == 1
    with working(session, todo, results=True) as result:
        if result is not None:
            from udaseg.report import save

            save([_collect(one, _bounds_of(one, bounds)) for one in sessions], todo.out / PAGE)
    if session.dry_run:
        return
    page = todo.out / PAGE
    if alone and session.out is None:
        page = _beside_the_stages(session, page)
    (_show if alone else _show_all)(sessions, page)


def _beside_the_stages(session: Session, written: Path) -> Path:
    """Put the page where a run is opened."""
    page = session.run / PAGE
    if not (page.is_file() and filecmp.cmp(page, written, shallow=False)):
        with atomic(page) as temporary:
            shutil.copyfile(written, temporary)
    return page


def _scores(session: Session) -> list[dict[str, Any]]:
    """Read the scores of a run, the last first."""
    stages = ("evaluate", "evaluate-warmup", "evaluate-pretrain")
    return [metrics for metrics in (read_metrics(session.folder(stage)) for stage in stages) if metrics]


def _show(sessions: Sequence[Session], page: Path) -> None:
    (session,) = sessions
    scored = _scores(session)
    if scored:
        last = scored[0]
        emit(session, last, scores_table(scored[-1] if len(scored) > 1 else None, last))
        say(f"report: mIoU {percent(last['miou'])}; the page is {page}")
    else:
        say(f"report: the page is {page}")


def _show_all(sessions: Sequence[Session], page: Path) -> None:
    scored = {str(session.run): scores[0] for session in sessions if (scores := _scores(session))}
    if sessions[0].json:
        emit(sessions[0], {"page": str(page), "runs": scored})
    found = {name: scores["miou"] for name, scores in scored.items() if scores["miou"] is not None}
    best = max(found, key=found.__getitem__, default=None)
    score = f"the best mIoU is {percent(found[best])}, of {best}; " if best else ""
    say(f"report: {len(sessions)} runs side by side; {score}the page is {page}")


@staged
def command(
    open_session,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Runs to show side by side; default: the one of --run.")
    ] = None,
    source_only: Annotated[
        list[Path] | None, typer.Option(help="A run whose score is the lower bound; again for each seed.")
    ] = None,
    oracle: Annotated[
        list[Path] | None, typer.Option(help="A run whose score is the upper bound; again for each seed.")
    ] = None,
) -> None:
    """Write one self-contained page about a run, or several side by side: scores, curves, images, lineage.

    Example: udaseg report runs/a runs/b --oracle runs/oracle
    """
    sessions = [open_session(run=path) for path in runs] if runs else [open_session()]
    bounds = {role: paths for role, paths in (("source", source_only), ("oracle", oracle)) if paths}
    if len({session.run.resolve() for session in sessions}) < len(sessions):
        raise UdasegError("a run is named twice", "name each run once")
    together = sessions[0].run.parent / "report"
    out = sessions[0].out or (sessions[0].folder("report") if len(sessions) == 1 else together)
    _write(sessions, _job(sessions, out, bounds), bounds)
