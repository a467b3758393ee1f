"""Reuse finished stages of other runs in the chain of a run, where they would come out the same."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.pipeline import chain
from udaseg.pipeline.engine import plan_job
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import reasons
from udaseg.pipeline.reuse import reuse
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Stage, StageFile

FIRST_ROUND = "round1"  # the directory of the first of several rounds


def reuse_stages(run: Run, finished: Sequence[Path]) -> None:
    """Reuse finished stages of other runs with the same settings and inputs, as far as they reach."""
    planned = {(name, in_round.round): (name, stage, in_round) for name, stage, in_round in _stages(run)}
    reused = True
    while reused:  # a stage may wait for one that comes later in the chain, as warmup for stylize
        reused = False
        for name, stage, in_round in planned.values():
            with suppress(UdasegError):  # what it reads is not there yet
                job = plan_job(in_round, stage)
                if not reasons(job):
                    continue
                paths = _equal_places(job.out.relative_to(run.folder), stage.each_round)
                source = next((other / path for other in finished for path in paths if reuse(job, other / path)), None)
                if source is not None:
                    log(f"{name}: taken over from {source}")
                    reused = True


def _stages(run: Run) -> Iterator[tuple[str, Stage, Run]]:
    """Yield the stages of the chain, and those that no chain names because others make them, such as class counts."""
    for step in chain.steps(run):
        yield from _with_made_inputs(*step)


def _with_made_inputs(name: str, stage: Stage, run: Run) -> Iterator[tuple[str, Stage, Run]]:
    """Yield a stage after those that it runs where their results are missing."""
    recipe = run.recipe if stage.adapt is None else stage.adapt(run.recipe)
    for declared in stage.inputs:
        place = declared.locate(recipe, run.round) if declared.make and declared.is_read(recipe) else None
        if isinstance(place, StageFile):
            in_round = run if place.round is None else run.in_round(place.round)
            yield from _with_made_inputs(place.stage, run.stages[place.stage], in_round)
    yield name, stage, run


def _equal_places(stage: Path, each_round: bool) -> list[Path]:
    """Return a stage's directory in a run, and in one of more rounds or of one, where the first is the same work."""
    if stage.parts[0] == FIRST_ROUND:
        return [stage, stage.relative_to(FIRST_ROUND)]
    return [stage, Path(FIRST_ROUND) / stage] if each_round else [stage]
