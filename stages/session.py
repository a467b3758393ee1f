"""What every stage command shares: its options, the resolved recipe, the run directory, and the way a job is run."""

import inspect
import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, get_type_hints

from udaseg.config import Recipe
from udaseg.config.load import load_recipe, parse_change, resolve_recipe_name
from udaseg.config.rules import require_read
from udaseg.errors import UdasegError
from udaseg.parallel import processes
from udaseg.pipeline import artifacts, aside
from udaseg.pipeline.artifacts import Input, Job, Result

from . import origin
from .options import SHARED, DryOption, EstimateOption, ForceOption, JsonOption, as_flag
from .pace import plan
from .sample import Sample

ROUND = ("predict", "pseudolabel", "refine", "prototypes", "retrain")  # the stages of a round of self-training
KEYWORD = inspect.Parameter.KEYWORD_ONLY
LOOKING = ("evaluate", "report")  # how the names of stages begin that make nothing another stage reads
RUNS, NOTHING, PLANNED = "runs", "nothing", "planned"  # verdicts on a job


class Planned(Exception):  # noqa: N818 - it ends a dry run, which is no error
    """Ends a dry run at something that would have to be made first: what follows depends on it."""


@dataclass(frozen=True)
class Session:
    """One invocation: the recipe after all flags, the run it belongs to, and where its inputs were put by flags."""

    recipe: Recipe
    run: Path
    origin: dict[str, Any]  # what run.json remembers: the recipe's name or path, scale, data, seed
    changes: dict[str, Any] = field(default_factory=dict)  # what flags said of the recipe, by dotted key
    asked: dict[str, str] = field(default_factory=dict)  # by which name the user asked for a setting
    out: Path | None = None
    paths: dict[str, Path] = field(default_factory=dict)
    force: bool = False
    dry_run: bool = False
    json: bool = False
    said: tuple[str, ...] = ()  # the flags by which another command means the same run, without --round
    nested: bool = False
    opened: dict[str, Any] = field(default_factory=dict)  # the datasets, which are listed once
    round: int = 1  # of self-training, from 1
    round_asked: bool = False  # whether a flag named it
    sample: Sample | None = None  # what is to be done of the work, in a place of its own, to see what all of it takes
    whole: "Session | None" = None  # the session that this one is a sample of

    def folder(self, stage: str) -> Path:
        """Give the directory of a stage of this run, wherever `--out` leads the present one."""
        rounds = self.recipe.rounds > 1 and stage in ROUND
        return self.run / f"round{self.round}" / stage if rounds else self.run / stage

    def of_round(self, number: int) -> "Session":
        """Give the same session in another round."""
        return replace(self, round=number)

    def given(self, name: str) -> Path | None:
        """Give the path that a flag named for an input."""
        return self.paths.get(name)

    def reading(self, name: str, path: Path) -> "Session":
        """Give the same session with an input named, as a flag would."""
        return replace(self, paths={**self.paths, name: path})

    def inside(self) -> "Session":
        """Give the session of a stage that this one needs first: in the run, whatever flags said of this one."""
        return replace(self.whole or self, out=None, paths={}, force=False, nested=True, round=self.round)

    def sampled(self, sample: Sample) -> "Session":
        """Give the session that does a sample of the work; what it needs first is planned and not made."""
        recipe, whole = sample.shortened(self.recipe), replace(self, dry_run=True)
        changes = {"recipe": recipe, "out": sample.place / "out", "opened": {}, "dry_run": False}
        return replace(self, **changes, sample=sample, whole=whole)

    def finished(self, stage: str, command: str) -> Path:
        """Give the directory of a stage that has to be complete, or say which command completes it."""
        folder = self.folder(stage)
        if artifacts.read_manifest(folder) is None:
            state = "is unfinished" if folder.is_dir() else "does not exist"
            of_round = ("--round", str(self.round)) if self.round > 1 and stage in ROUND else ()
            whole = shlex.join([*shlex.split(command), *of_round, *self.said])
            raise UdasegError(f"{folder} {state}, and this stage reads it", f"run first: {whole}")
        return folder

    def input(self, path: Path) -> Input:
        """Name an input by path and content; raises UdasegError where a stage has not finished it."""
        if not path.exists():
            raise UdasegError(f"{path} does not exist", "check the path; without its flag, the run's is read")
        aside.require_finished(path)
        return Input(str(path), artifacts.digest(path))


def say(text: str) -> None:
    """Tell the user on stderr how things stand; stdout is for results."""
    if processes.is_first():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def working(session: Session, job: Job, *, results: bool = False, shared: bool = False) -> Iterator[Result | None]:
    """Open the stage directory of a job; gives None where there is nothing to do.

    With `--json` the manifest goes to stdout at the end, unless the stage prints `results` of its own there. Of
    several processes the first opens it; the others work on it too where it is `shared`, or wait.
    """
    if processes.is_first():
        with _opened(session, job, results, shared) as result:
            yield result
    else:
        verdict = processes.broadcast_and_wait(None)
        yield Result() if shared and verdict == RUNS else None
        if verdict == PLANNED:
            raise Planned
    processes.barrier()


@contextmanager
def _opened(session: Session, job: Job, results: bool, shared: bool) -> Iterator[Result | None]:
    if not (session.force or session.dry_run) and artifacts.put_back(job):
        say(f"{job.stage}: what was finished before is put back")
    why = ["--force was given"] if session.force else artifacts.reasons(job)
    if not why:
        say(f"{job.stage}: up to date ({job.out})")
        if not (session.dry_run or session.nested):
            # Make compares times: a stage that was looked at is as fresh as one that ran. A run of somebody else's
            # may be read-only.
            with suppress(OSError):
                (job.out / artifacts.MANIFEST).touch()
            if session.out is None:
                origin.complete(session.run, session.origin)
        processes.broadcast_and_wait(NOTHING)
        yield None
        _print_manifest(session, job, results)
        return
    work = "; ".join(filter(None, ["; ".join(why), plan(job, session.run)]))
    if session.dry_run:
        artifacts.require_ours(job.out)
        say(f"{job.stage}: would run into {job.out}: {work}")
        processes.broadcast_and_wait(PLANNED if session.nested else NOTHING)
        if session.nested:
            raise Planned
        yield None
        return
    command = shlex.join(["udaseg", *sys.argv[1:]])
    try:
        with artifacts.stage(job, command=command, force=session.force) as result:
            say(f"{job.stage}: {'continues' if result.resumed else 'runs'} in {job.out}: {work}")
            if session.out is None and job.out.is_relative_to(session.run):
                looks = job.stage.startswith(LOOKING)  # what it was told of data and seed says nothing of the run
                (origin.complete if looks else origin.write)(session.run, session.origin)
            if processes.count() > 1 and not shared:
                say(f"{job.stage}: one process does it, and the other {processes.count() - 1} wait")
            processes.broadcast_and_wait(RUNS)
            with nullcontext() if shared else processes.single_process():
                yield result
            if processes.count() > 1:
                result.environment["processes"] = processes.count() if shared else 1
    except KeyboardInterrupt as stop:
        notes = getattr(stop, "__notes__", ())
        say("; ".join([f"{job.stage}: {str(stop) or 'interrupted'}", "the same command continues", *notes]))
        raise
    for warning in result.warnings:
        say(f"{job.stage}: warning: {warning}")
    _print_manifest(session, job, results)


def staged(function: Callable[..., None] | None = None, *, without: Collection[str] = ()) -> Callable[..., Any]:
    """Turn `f(open_session, own options...)` into a command that takes the shared options too, but for some.

    `open_session(changes, paths)` builds the Session; `changes` maps recipe keys to what this command's own flags
    said (None: not given), `paths` maps inputs to the paths that flags named.
    """
    if function is None:
        return partial(staged, without=without)
    own = inspect.signature(function).parameters
    taken = {name: annotation for name, annotation in SHARED.items() if name not in without}
    hints = get_type_hints(function, include_extras=True)

    @wraps(function)
    def command(**arguments: Any) -> None:
        shared = {name: arguments.pop(name) for name in taken}
        name, estimated = function.__module__.rpartition(".")[2], shared.pop("estimate", False)

        def open_session(
            changes: dict[str, Any] | None = None,
            paths: dict[str, Path | None] | None = None,
            run: Path | None = None,
            sample: Sample | None = None,
            variants: bool = False,  # whether it runs others beside the recipe, and looks itself what they read
        ) -> Session:
            # What UDASEG_RUN says is a default, which a run that is named comes over.
            if run is not None and shared["run"] not in (None, run) and "UDASEG_RUN" not in os.environ:
                raise UdasegError(f"both {run} and --run {shared['run']} were given", "name the run once")
            named = {} if run is None else {"run": run}
            session = start(**shared | named, changes=changes, paths=paths, of_run=True)
            if not variants:
                require_read(session.asked, [session.recipe], name)
            return session if sample is None else session.sampled(sample)

        try:
            if estimated:
                from .estimate import estimate

                phase = "pretrain" if arguments.get("pretrain") else name
                estimate(
                    phase, open_session(), lambda sample: function(partial(open_session, sample=sample), **arguments)
                )
            else:
                function(open_session, **arguments)
        except Planned:
            say(f"{name}: would run after that")

    parameters = [own[name].replace(annotation=hints[name]) for name in own if name != "open_session"]
    for name, annotation in taken.items():
        default = False if annotation in (ForceOption, DryOption, EstimateOption, JsonOption) else None
        parameters.append(inspect.Parameter(name, KEYWORD, default=default, annotation=annotation))
    keyword = [parameter.replace(kind=KEYWORD) for parameter in parameters]
    command.__signature__ = inspect.Signature(keyword)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword}
    return command


def start(
    recipe_name: str | None = None,
    scale: str | None = None,
    set_: list[str] | None = None,
    run: Path | None = None,
    data: str | None = None,
    target_list: str | None = None,
    seed: int | None = None,
    round_: int | None = None,
    out: Path | None = None,
    force: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
    changes: dict[str, Any] | None = None,
    paths: dict[str, Path | None] | None = None,
    of_run: bool = False,
) -> Session:
    """Resolve the recipe: flag over --set over recipe over default; a command `of_run` goes by what that remembers."""
    asked = {"--recipe": recipe_name, "--scale": scale, "--data": data, "--target-list": target_list, "--seed": seed}
    asked |= {"--run": run}
    said = [part for flag, value in asked.items() if value is not None for part in (flag, str(value))]
    said += [part for text in set_ or [] for part in ("--set", text)]
    settings = dict(parse_change(text) for text in set_ or [])
    said_by_flag = [key for key, value in (changes or {}).items() if value is not None]
    asked_for = {key: key for key in settings} | {key: as_flag(key) for key in said_by_flag}
    flags = {"data": data, "target.list": target_list, "seed": seed, **(changes or {})}
    settings |= {key: value for key, value in flags.items() if value is not None}
    if scale not in (None, "full", "toy"):
        raise UdasegError(f"--scale {scale}: expected full or toy", "--scale toy is the small twin of a recipe")
    folder, before = origin.found(run, recipe_name, scale, settings.get("name"))
    name, scale = before["recipe"], scale or before.get("scale")
    kept = {key: before[key] for key in ("data", "seed") if of_run and key in before and key not in settings}
    usual, settings = load_recipe(name, scale=scale), kept | settings
    if run is None and (other := [f"{key} {value}" for key, value in kept.items() if value != getattr(usual, key)]):
        say(f"{folder} goes on with what it was begun with: {', '.join(other)}")
    resolved = load_recipe(name, scale=scale, changes=settings)
    given = {key: path for key, path in (paths or {}).items() if path is not None}
    if (round_ or 1) > resolved.rounds:
        raise UdasegError(f"--round {round_}: recipe {name} has {resolved.rounds}", f"add --set rounds={round_}")
    own = {"recipe": resolve_recipe_name(name), "scale": resolved.scale, "data": resolved.data, "seed": resolved.seed}
    place = {"out": out, "paths": given, "round": round_ or 1, "round_asked": round_ is not None}
    ways = {"force": force, "dry_run": dry_run, "json": as_json, "said": tuple(said)}
    return Session(resolved, folder, own, settings, asked_for, **place, **ways)


def _print_manifest(session: Session, job: Job, results: bool) -> None:
    if session.json and not session.nested and not results:
        print(json.dumps(artifacts.read_manifest(job.out), indent=1, ensure_ascii=False))


def emit(session: Session, values: dict[str, Any], *tables: Any) -> None:
    """Print a result on stdout: as JSON when asked, else as Rich tables, those that there are.

    Nothing is printed of a stage that another command runs for itself.
    """
    if session.nested or not processes.is_first():
        return
    if session.json:
        print(json.dumps(values, indent=1, ensure_ascii=False))
    else:
        from .tables import console

        console().print(*(table for table in tables if table is not None))
