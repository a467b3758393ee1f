"""Reuse finished stages of other runs in the chain of a run, where they would come out the same."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.pipeline import chain
from udaseg.pipeline.engine import plan_job
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import reasons
from udaseg.pipeline.reuse import reuse
from udaseg.pipeline.run import Run

FIRST_ROUND = "round1"  # the directory of the first of several rounds


def reuse_stages(run: Run, finished: Sequence[Path]) -> None:
    """Reuse finished stages of other runs with the same settings and inputs, as far as they reach."""
    # No chain names the class counts: the stages that read them make them.
    planned = [("stats", run.stages["stats"], run), *chain.steps(run)]
    reused = True
    while reused:  # a stage may wait for one that comes later in the chain, as warmup for stylize
        reused = False
        for name, stage, in_round in planned:
            with suppress(UdasegError):  # what it reads is not there yet
                job = plan_job(in_round, stage)
                if not reasons(job):
                    continue
                paths = _equal_places(job.out.relative_to(run.folder), stage.each_round)
                source = next((other / path for other in finished for path in paths if reuse(job, other / path)), None)
                if source is not None:
                    log(f"{name}: taken over from {source}")
                    reused = True


def _equal_places(stage: Path, each_round: bool) -> list[Path]:
    """Return a stage's directory in a run, and in one of more rounds or of one, where the first is the same work."""
    if stage.parts[0] == FIRST_ROUND:
        return [stage, stage.relative_to(FIRST_ROUND)]
    return [stage, Path(FIRST_ROUND) / stage] if each_round else [stage]
