"""What a stage declares: the inputs it reads, the settings its result depends on, and the function that does the work.

Everything else follows from the declaration: flags and their help, where an input lies, which command makes it, what
is made where it is missing, the digests in the manifest, the flags that are refused, the order in a chain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from udaseg.config import HxW, Recipe, Section

if TYPE_CHECKING:
    from udaseg.pipeline.images import CarryOver
    from udaseg.pipeline.manifest import Job
    from udaseg.pipeline.run import Run
    from udaseg.pipeline.work import Work

Condition = Callable[[Recipe], bool]


class StageFile(NamedTuple):
    """A file or folder that a stage of a run writes, in a round of self-training; an empty path is the stage itself."""

    stage: str
    path: str = ""
    round: int | None = None  # of the run that reads it, when absent


@dataclass(frozen=True)
class Input:
    """A file or folder that a stage reads: from a flag, else from another stage of the run.

    `file` is `stage/path`, or a function of the recipe and the round that gives a StageFile, a path of the user's, or
    None where nothing is read. `command` overrides the command that the message "run first" names.
    """

    name: str  # in the manifest, in flags, and in `Work.path`
    file: str | Callable[[Recipe, int], StageFile | Path | None]
    help: str = ""  # of the flag; without it there is no flag
    flag: str | None = None  # when another than the name
    when: Condition | None = None  # read only then
    because: str = ""  # the reason why the flag is refused when it is not read
    hint: str = ""  # and how it would be read
    round: int = 0  # -1: of the round before
    required: bool = True
    make: bool = False  # run the stage that writes it where it is missing or out of date
    make_unless: tuple[str, ...] = ()  # but not where these flags are given
    beside: str | None = None  # the input beside whose flagged path the file lies

    def is_read(self, recipe: Recipe) -> bool:
        """Tell whether a stage of this recipe reads the input."""
        return self.when is None or self.when(recipe)

    def option(self) -> str:
        """Return the flag, such as --class-counts."""
        return self.flag or f"--{self.name.replace('_', '-')}"

    def locate(self, recipe: Recipe, round: int) -> StageFile | Path | None:
        """Return where the input lies in a run when no flag names it; None where nothing is read."""
        if callable(self.file):
            return self.file(recipe, round)
        if round + self.round < 1:
            return None
        stage, _, path = self.file.partition("/")
        return StageFile(stage, path, round + self.round)


@dataclass(frozen=True)
class Dataset:
    """A dataset of the recipe that a stage reads: source, target (images of the training split), its depth, or val."""

    name: Literal["source", "target", "target_depth", "val"]
    settings: Literal["images", "selection"] | None = "images"  # which of its settings the result depends on
    when: Condition | None = None
    section: str = ""  # whose size, where it has one, replaces that of the domain
    drawn: bool = False  # whether the result depends on the shares of several sources, and on the classes they lack

    def is_read(self, recipe: Recipe) -> bool:
        """Tell whether a stage of this recipe reads the dataset."""
        return self.when is None or self.when(recipe)

    def size(self, recipe: Recipe) -> HxW | None:
        """Return the height and width at which the stage sees the images; None where they have several."""
        own = getattr(recipe, self.section).size if self.section else None
        sizes = {one.size for one in recipe.all_sources.values()} if self.name == "source" else {recipe.target.size}
        return own or (sizes.pop() if len(sizes) == 1 else None)


@dataclass(frozen=True)
class Stage:
    """A stage: its declaration and the function that does the work.

    `settings` names sections of the recipe, or is a function of the recipe and the round that gives the settings on
    which the result depends. `job` replaces the job that follows from the declaration. `check` raises UdasegError
    before anything is made. `carry_over` gives the function that keeps the results of target images that have not
    changed, for a stage and recipe in which the result of an image depends on no other image. `adapt` gives the recipe
    that the stage works with, for a stage that is another's phase. `resolve` gives the recipe with plain numbers for
    the settings that depend on the data.
    """

    name: str
    run: "Callable[[Work], None]"
    settings: Sequence[str] | Callable[[Recipe, int], dict[str, Any]] = ()
    inputs: Sequence[Input] = ()
    datasets: Sequence[Dataset] = ()
    flags: Sequence[str | tuple[str, str]] = ()  # fields of `section`, or dotted keys; or each with its flag
    writes: str = ""  # its files beside manifest.json, for README's table
    section: str = ""  # of the recipe that the flags change; the stage's name when absent
    example: str = ""
    each_round: bool = False  # run in every round of self-training
    shared: bool | Condition = False  # several processes share the work
    seeded: bool = False  # the result depends on the seed
    trains: bool = False  # counts its work in steps, not in images
    results: bool = False  # prints results of its own with --json
    job: "Callable[[Run], Job] | None" = None
    check: "Callable[[Run], None] | None" = None
    after: "Callable[[Run, Job], None] | None" = None  # shows the result, also of a stage that is up to date
    carry_over: "Callable[[Recipe, int], CarryOver | None] | None" = None
    adapt: Callable[[Recipe], Recipe] | None = None
    resolve: "Callable[[Run], Recipe] | None" = None
    command: str = ""  # that runs it, when it is not `udaseg NAME`
    phases: "dict[str, Stage]" = field(default_factory=dict)  # by flag, without dashes: other stages of this command

    def is_shared(self, recipe: Recipe) -> bool:
        """Tell whether several processes share the work."""
        return self.shared(recipe) if callable(self.shared) else self.shared

    def command_line(self) -> str:
        """Return the command that runs the stage."""
        return f"udaseg {self.command or self.name}"

    def describe_inputs(self) -> str:
        """Return what the stage reads; in brackets what it reads with some recipes only."""
        names = {"source": "source", "target": "target images", "val": "labelled images"}
        names["target_depth"] = "target depth"
        reads = [(one.name.replace("_", " "), one.when is None and one.required) for one in self.inputs if one.help]
        reads += [(names[one.name], one.when is None) for one in self.datasets]
        always, sometimes = ([name for name, is_always in reads if is_always is wanted] for wanted in (True, False))
        return " ".join(filter(None, [", ".join(always), f"({', '.join(sometimes)})" if sometimes else ""]))

    def resolve_settings(self, recipe: Recipe, round: int) -> dict[str, Any]:
        """Return the settings that the result depends on, beside those of its datasets."""
        if callable(self.settings):
            return self.settings(recipe, round)
        return {name: dump_section(recipe, name) for name in self.settings}


def dump_section(recipe: Recipe, name: str) -> Any:
    """Return a section of a recipe, or one of its plain values, as plain data."""
    section = getattr(recipe, name)
    return section.identity() if isinstance(section, Section) else section
