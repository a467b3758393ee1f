"""Run a stage: plan its job from what it declares, make what is missing first, and do the work where it is not done."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from enum import Enum

from udaseg.config import rules
from udaseg.parallel import processes
from udaseg.pipeline import datasets, inputs, run_file
from udaseg.pipeline.dataset_settings import sections, stage_settings
from udaseg.pipeline.durations import describe_work
from udaseg.pipeline.images import ImageWork
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import InputDigest, Job, read_manifest
from udaseg.pipeline.manifest import reasons as find_reasons
from udaseg.pipeline.run import Run, hints_for
from udaseg.pipeline.stage import Stage
from udaseg.pipeline.stage_dir import Result, open_stage, require_ours
from udaseg.pipeline.swap import partial_folder
from udaseg.pipeline.work import Work

READ_ONLY_STAGES = ("evaluate", "report")  # how the names of stages begin whose result no other stage reads


class Verdict(Enum):
    """What the first of several processes tells the others of a job."""

    RUNS = "runs"
    UP_TO_DATE = "up to date"
    PLANNED = "planned"


class PlannedError(Exception):
    """End a dry run at a stage that would have to be run first: what follows depends on it."""


def run_stage(run: Run, stage: Stage) -> Job:
    """Make the inputs that are missing, then do the work of a stage unless it is up to date; return its job.

    Raises UdasegError for what is wrong with settings, inputs and data, with a hint for this run, and PlannedError
    where a dry run of a dependency ends.
    """
    with hints_for(run):
        run = _adapted(run, stage)
        _prepare(run, stage)
        job = _plan(run, stage)
        with open_work(run, job, shared=stage.is_shared(run.recipe), prints_results=stage.results) as work:
            if work is not None:
                stage.run(work)
        if stage.after is not None:
            stage.after(run, job)
    return job


def plan_job(run: Run, stage: Stage) -> Job:
    """Return the job of a stage: all its result depends on.

    Raises UdasegError where settings contradict each other, and where an input is not finished.
    """
    return _plan(_adapted(run, stage), stage)


def _plan(run: Run, stage: Stage) -> Job:
    rules.require_consistent(run.recipe, stage.section or stage.name)
    return plan_declared(run, stage) if stage.job is None else stage.job(run)


def plan_declared(run: Run, stage: Stage) -> Job:
    """Return the job that follows from what a stage declares."""
    settings = stage_settings(run.recipe, stage, run.round)
    digests: dict[str, InputDigest] = {}
    for declared in stage.inputs:
        path = inputs.input_path(run, declared) if declared.is_read(run.recipe) else None
        if path is not None:
            if run.sample is not None and declared.name == "predictions":
                path = run.sample.copy_predictions(path)
            digests[declared.name] = inputs.digest_input(path)
    for dataset in stage.datasets:
        if dataset.is_read(run.recipe):
            digests |= datasets.inputs_of(run, dataset.name)
    seed = run.recipe.seed if stage.seeded else 0
    carry_over = None if stage.carry_over is None else stage.carry_over(run.recipe, run.round)
    images = None if carry_over is None else ImageWork("target", run.image_digests["target"], carry_over)
    return Job(stage.name, run.output_folder(stage.name), settings, digests, seed, images)


def _adapted(run: Run, stage: Stage) -> Run:
    """Return the run with the recipe that a stage works with, in the last round where the stage is not repeated."""
    if not stage.each_round and not run.round_given:
        run = run.in_round(run.recipe.rounds)
    recipe = run.recipe if stage.resolve is None else stage.resolve(run)
    if run.sample is not None:
        recipe = run.sample.shorten(recipe)
    return replace(run, recipe=recipe if stage.adapt is None else stage.adapt(recipe))


def _prepare(run: Run, stage: Stage) -> None:
    """Check what can be checked at once, then make the inputs that are missing."""
    inputs.refuse_unread_flags(run, stage)
    rules.require_consistent(run.recipe, stage.section or stage.name)
    declared = [one for one in stage.inputs if one.is_read(run.recipe)]
    for one in declared:
        if not inputs.is_made(run, one):
            inputs.input_path(run, one)  # raises before anything is made
    if stage.check is not None:
        stage.check(run)
    for one in declared:
        inputs.ensure_input(run, one)


@contextmanager
def open_work(run: Run, job: Job, *, shared: bool = False, prints_results: bool = False) -> Iterator[Work | None]:
    """Open the directory of a job; gives None where there is nothing to do.

    With --json the manifest goes to stdout in the end, unless the stage `prints_results` of its own. Of several
    processes the first opens the directory; the others work on it too where it is `shared`, or wait.
    """
    if processes.is_first():
        with _open_as_first(run, job, shared, prints_results) as work:
            yield work
    else:
        verdict = processes.broadcast_and_wait(None)
        takes_part = shared and verdict == Verdict.RUNS.value
        yield Work(run, job, Result(partial_folder(job.out)), partial_folder(job.out)) if takes_part else None
        if verdict == Verdict.PLANNED.value:
            raise PlannedError
    processes.barrier()


@contextmanager
def _open_as_first(run: Run, job: Job, shared: bool, prints_results: bool) -> Iterator[Work | None]:
    reasons = ["--force was given"] if run.force else find_reasons(job)
    if not reasons:
        _log_up_to_date(run, job)
        processes.broadcast_and_wait(Verdict.UP_TO_DATE.value)
        yield None
        _print_manifest(run, job, prints_results)
        return
    why = "; ".join(filter(None, [*reasons, describe_work(job)]))
    if run.dry_run:
        require_ours(job.out)
        log(f"{job.stage}: would run into {job.out}: {why}")
        processes.broadcast_and_wait((Verdict.PLANNED if run.is_dependency else Verdict.UP_TO_DATE).value)
        if run.is_dependency:
            raise PlannedError
        yield None
        return
    result: Result | None = None
    try:
        with open_stage(job, command=shlex.join(["udaseg", *sys.argv[1:]]), force=run.force) as result:
            log(f"{job.stage}: {'continues' if result.resumed else 'runs'} in {job.out}: {why}")
            if run.out is None and job.out.is_relative_to(run.folder):
                # Which data and seed an evaluation was given does not say what the run was made with.
                is_read_only = job.stage.startswith(READ_ONLY_STAGES)
                (run_file.write_if_missing if is_read_only else run_file.write)(run.folder, run.remembered)
            if processes.count() > 1 and not shared:
                log(f"{job.stage}: one process does it, and the other {processes.count() - 1} wait")
            processes.broadcast_and_wait(Verdict.RUNS.value)
            with nullcontext() if shared else processes.single_process(), Work(run, job, result, result.folder) as work:
                yield work
            read = [name for name in datasets.SETS if job.inputs.keys() & sections(run.recipe, name).keys()]
            result.warnings += datasets.labelling_warnings(run, read)
            if processes.count() > 1:
                result.environment["processes"] = processes.count() if shared else 1
    except KeyboardInterrupt as stop:
        notes = getattr(stop, "__notes__", ())
        log("; ".join([f"{job.stage}: {str(stop) or 'interrupted'}", "the same command continues", *notes]))
        raise
    assert result is not None
    _log_warnings(job.stage, result.warnings)
    _print_manifest(run, job, prints_results)


def _log_up_to_date(run: Run, job: Job) -> None:
    log(f"{job.stage}: up to date ({job.out})")
    if not run.is_dependency:
        _log_warnings(job.stage, (read_manifest(job.out) or {"warnings": []})["warnings"])
    if not (run.dry_run or run.is_dependency) and run.out is None:
        with suppress(OSError):  # a run of somebody else's may be read-only
            run_file.write_if_missing(run.folder, run.remembered)


def _log_warnings(stage: str, warnings: Iterable[str]) -> None:
    for warning in warnings:
        log(f"{stage}: warning: {warning}")


def _print_manifest(run: Run, job: Job, prints_results: bool) -> None:
    if run.json and run.prints and not prints_results:
        print(json.dumps(read_manifest(job.out), indent=1, ensure_ascii=False))
