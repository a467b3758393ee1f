"""udaseg report: one page about a run."""

import filecmp
import shutil

from udaseg import artifacts
from udaseg.artifacts import Input, Job
from udaseg.errors import UdasegError
from udaseg.files import atomic

from . import inputs
from .session import Session, emit, say, staged, working
from .tables import percent, read_metrics, scores_table

PAGE = "report.html"


def job(session: Session) -> Job:
    out = session.out or session.folder("report")
    given = {}
    for manifest in sorted([*session.run.glob("*/manifest.json"), *session.run.glob("round*/*/manifest.json")]):
        if manifest.parent != out:
            given[str(manifest.parent.relative_to(session.run))] = Input(
                str(manifest.parent), artifacts.digest(manifest)
            )
    if not given:
        raise UdasegError(f"{session.run} holds no finished stage to report on", "run a stage first, or name --run")
    return Job("report", out, {"chain": session.recipe.chain}, given)


def run(session: Session) -> None:
    todo = job(session)
    page = session.run / PAGE if session.out is None else session.out / PAGE
    with working(session, todo, results=True) as result:
        if result is not None:
            from udaseg.report import write

            target = inputs.target_images(session)
            pictures = {record.stem: record.image for record in target.records}
            chain = [stage for stage in session.recipe.chain if stage != "report"]
            write(session.run, todo.out / PAGE, images=pictures, chain=chain)
    if session.dry_run:
        return
    written = todo.out / PAGE
    if page != written and not (page.is_file() and filecmp.cmp(page, written, shallow=False)):
        with atomic(page) as temporary:
            shutil.copyfile(written, temporary)
    stages = ("evaluate", "evaluate-warmup", "evaluate-pretrain")
    scored = [metrics for metrics in (read_metrics(session.folder(stage)) for stage in stages) if metrics]
    if scored:
        last = scored[0]
        emit(session, last, scores_table(scored[-1] if len(scored) > 1 else None, last))
        say(f"report: mIoU {percent(last['miou'])}; the page is {page}")
    else:
        say(f"report: the page is {page}")


@staged
def command(open_session) -> None:
    """Write one self-contained page about a run: scores, thresholds, curves, pictures, lineage.

    Example: udaseg report --run runs/demo
    """
    run(open_session())
