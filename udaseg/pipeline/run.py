"""One invocation on a run: the recipe after all flags, the run's directory, the round, the paths of flags."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.config import Recipe
from udaseg.config.load import load_recipe, parse_change, resolve_recipe_name
from udaseg.errors import UdasegError
from udaseg.pipeline import run_file
from udaseg.pipeline.log import log

if TYPE_CHECKING:
    from udaseg.pipeline.estimate import Sample
    from udaseg.pipeline.stage import Stage

Show = Callable[[int, int], None]  # (done, total)
_COMMANDS = re.compile(r"(?<=`)udaseg [^`]+(?=`)|(?:(?<=: )|^)udaseg [^`\n]+$", re.MULTILINE)  # in hints
ShowProgress = Callable[[str, str], AbstractContextManager[Show]]  # (title, unit)


def show_nothing(title: str, unit: str) -> AbstractContextManager[Show]:
    """Show no progress."""
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True)
class Run:
    """The recipe after all flags, the run it belongs to, and what flags say of this invocation."""

    recipe: Recipe
    folder: Path
    remembered: dict[str, Any]  # the content of run.json: recipe, scale, data, seed
    stages: Mapping[str, Stage]  # all there are, by name
    show_progress: ShowProgress = show_nothing
    changes: dict[str, Any] = field(default_factory=dict)  # of the recipe by --set and flags, by dotted key
    setting_flags: dict[str, str] = field(default_factory=dict)  # how each changed setting was given
    paths: dict[str, Path] = field(default_factory=dict)  # of inputs that flags name
    run_flags: tuple[str, ...] = ()  # by which another command means the same run
    out: Path | None = None
    force: bool = False
    dry_run: bool = False
    json: bool = False
    prints: bool = True  # results on stdout
    round: int = 1  # of self-training, from 1
    round_given: bool = False  # by a flag
    is_dependency: bool = False  # for a stage that another stage needs first
    datasets: dict[str, Any] = field(default_factory=dict)  # opened once
    digests: dict[str, Any] = field(default_factory=dict)  # of the datasets, read once
    image_digests: dict[str, dict[str, str]] = field(default_factory=dict)  # of each image by stem, beside those
    sample: Sample | None = None  # the part of the work that an estimate runs
    full_run: Run | None = None  # the run that this one is a sample of

    def stage_folder(self, stage: str, round: int | None = None) -> Path:
        """Return the directory of a stage of this run, whatever --out says."""
        repeated = self.recipe.rounds > 1 and stage in self.stages and self.stages[stage].each_round
        return self.folder / f"round{round or self.round}" / stage if repeated else self.folder / stage

    def output_folder(self, stage: str) -> Path:
        """Return the directory that a stage writes: what --out says, else its place in the run."""
        return self.out or self.stage_folder(stage)

    def in_round(self, number: int) -> Run:
        """Return the same run in another round."""
        return replace(self, round=number)

    def with_input(self, name: str, path: Path) -> Run:
        """Return the same run with an input named, as by a flag."""
        return replace(self, paths={**self.paths, name: path})

    def for_dependency(self) -> Run:
        """Return the run for a stage that this one needs first: without the flags of this one."""
        run = self.full_run or self
        return replace(run, out=None, paths={}, force=False, is_dependency=True, prints=False, round=self.round)

    def for_sample(self, sample: Sample) -> Run:
        """Return the run that does a sample of the work; what it needs first is planned and not made."""
        changes: dict[str, Any] = {
            "out": sample.folder / "out",
            "datasets": {},
            "digests": {},
            "image_digests": {},
        }
        return replace(self, **changes, sample=sample, full_run=replace(self, dry_run=True), dry_run=False)


def open_run(
    stages: Mapping[str, Stage],
    recipe_name: str | None = None,
    *,
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
    changes: Mapping[str, Any] | None = None,
    flags: Mapping[str, str] | None = None,
    paths: Mapping[str, Path | None] | None = None,
    show_progress: ShowProgress = show_nothing,
    resume: bool = False,
) -> Run:
    """Resolve the recipe and the run: a flag goes over --set, that over the recipe, that over the defaults.

    `changes` maps dotted keys to the values of a command's flags (None: not given), `flags` the keys to the flags,
    `paths` maps inputs to the paths that flags name. With `resume` the run goes on with the data and seed that its
    run.json remembers. Raises UdasegError for a recipe or a setting that is wrong.
    """
    if scale not in (None, "full", "toy"):
        raise UdasegError(f"--scale {scale}: expected full or toy", "--scale toy is the small twin of a recipe")
    flags_of_run = {"--recipe": recipe_name, "--scale": scale, "--data": data, "--target-list": target_list}
    flags_of_run |= {"--seed": seed, "--run": run}
    changes = {key: value for key, value in (changes or {}).items() if value is not None}
    settings = dict(parse_change(text) for text in set_ or [])
    setting_flags = {key: key for key in settings} | {key: (flags or {}).get(key, key) for key in changes}
    shared = {"data": data, "target.list": target_list, "seed": seed}
    settings |= {key: value for key, value in shared.items() if value is not None} | changes
    folder, remembered = run_file.find(run, recipe_name, scale, settings.get("name"))
    name, scale = remembered["recipe"], scale or remembered.get("scale")
    kept = {key: remembered[key] for key in ("data", "seed") if resume and key in remembered and key not in settings}
    plain, settings = load_recipe(name, scale=scale), kept | settings
    if run is None and (other := [f"{key} {value}" for key, value in kept.items() if value != getattr(plain, key)]):
        log(f"{folder} goes on with what it was begun with: {', '.join(other)}")
    recipe = load_recipe(name, scale=scale, changes=settings)
    if (round_ or 1) > recipe.rounds:
        raise UdasegError(f"--round {round_}: recipe {name} has {recipe.rounds}", f"add --set rounds={round_}")
    run_flags = [part for flag, value in flags_of_run.items() if value is not None for part in (flag, str(value))]
    run_flags += [part for text in set_ or [] for part in ("--set", text)]
    return Run(
        recipe,
        folder,
        {"recipe": resolve_recipe_name(name), "scale": recipe.scale, "data": recipe.data, "seed": recipe.seed},
        stages,
        show_progress,
        settings,
        setting_flags,
        {key: path for key, path in (paths or {}).items() if path is not None},
        tuple(run_flags),
        out,
        force,
        dry_run,
        as_json,
        round=round_ or 1,
        round_given=round_ is not None,
    )


@contextmanager
def hints_for(run: Run) -> Iterator[None]:
    """Let the commands in the hint of an error that is raised inside this block work on a run."""
    try:
        yield
    except UdasegError as error:
        error.hint = name_run(run, error.hint)
        raise


def name_run(run: Run, hint: str) -> str:
    """Return a hint whose commands work on a run: those of stages get its flags, unless they name a run or a recipe."""
    lines = {stage.command_line().partition(" --")[0]: stage for stage in run.stages.values() if stage.name != "data"}

    def complete(match: re.Match) -> str:
        words = shlex.split(match[0])
        stage = lines.get(" ".join(words[:2])) or lines.get(" ".join(words[:3]))
        if stage is None or {"--run", "--recipe", *run.run_flags}.intersection(words):
            return match[0]
        return command_of(run, match[0], run.round if stage.each_round and run.recipe.rounds > 1 else None)

    return _COMMANDS.sub(complete, hint)


def command_of(run: Run, command: str, round: int | None = None) -> str:
    """Return a command line that works on the same run: pasted, it does what is said."""
    return shlex.join([*shlex.split(command), *(("--round", str(round)) if round else ()), *run.run_flags])
