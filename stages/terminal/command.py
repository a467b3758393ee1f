"""Commands made from what stages declare, and the way a command opens a run."""

import inspect
import os
from collections.abc import Callable, Collection, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from udaseg.config.rules import require_read
from udaseg.errors import UdasegError
from udaseg.pipeline.engine import PlannedError, run_stage
from udaseg.pipeline.estimate import Sample
from udaseg.pipeline.log import log
from udaseg.pipeline.run import Run, open_run
from udaseg.pipeline.stage import Stage

from .estimate import print_estimate
from .options import SHARED, SWITCHES, parse_setting, setting_option
from .progress import show_progress

KEYWORD = inspect.Parameter.KEYWORD_ONLY
STAGES: dict[str, Stage] = {}  # all there are, by name; `cli` fills it


def open_plain_run(recipe_name: str | None = None, **options: Any) -> Run:
    """Open a run with the progress of this terminal, without the options that stages share."""
    return open_run(STAGES, recipe_name, show_progress=show_progress, **options)


def run_command(function: Callable[..., None] | None = None, *, without: Collection[str] = ()) -> Callable[..., Any]:
    """Turn `function(open_run, its options...)` into a command that takes the shared options too, but for some.

    `open_run(changes, paths)` opens the run: `changes` maps dotted keys of the recipe to the values of the command's
    own flags (None: not given), `paths` maps inputs to the paths that flags name.
    """
    if function is None:
        return partial(run_command, without=without)
    name = function.__module__.rpartition(".")[2]
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[key])
        for key, parameter in inspect.signature(function).parameters.items()
        if key != "open_run"
    ]

    @wraps(function)
    def command(**arguments: Any) -> None:
        shared = {key: arguments.pop(key) for key in SHARED if key not in without}
        wants_estimate = shared.pop("estimate", False)
        open_this = partial(_open, name, shared)

        def work() -> None:
            if wants_estimate:
                estimated = (name, False, open_this())
                print_estimate(*estimated, lambda sample: function(partial(open_this, sample=sample), **arguments))
            else:
                function(open_this, **arguments)

        _until_planned(name, work)

    return _with_signature(command, own, without)


def stage_command(stage: Stage) -> Callable[..., None]:
    """Make the command of a stage from its declaration, with flags for settings, inputs and phases."""
    section = stage.section or stage.name
    settings = {}  # parameter -> (field, flag, annotation)
    for declared in stage.flags:
        field, flag = declared if isinstance(declared, tuple) else (declared, None)
        flag, annotation = setting_option(_key(section, field), flag)
        settings[f"set_{field.replace('.', '_')}"] = field, flag, annotation
    files = {}  # parameter -> (input, annotation)
    for one in (one for one in stage.inputs if one.help):
        files[f"in_{one.name}"] = one.name, Annotated[Path | None, typer.Option(one.option(), help=one.help)]
    own = [inspect.Parameter(key, KEYWORD, default=None, annotation=kind) for key, (_, _, kind) in settings.items()]
    own += [inspect.Parameter(key, KEYWORD, default=None, annotation=kind) for key, (_, kind) in files.items()]
    for name, phase in stage.phases.items():
        kind = Annotated[bool, typer.Option(f"--{name}", help=_summary(phase))]
        own.append(inspect.Parameter(f"phase_{name}", KEYWORD, default=False, annotation=kind))

    def command(**arguments: Any) -> None:
        shared = {key: arguments.pop(key) for key in SHARED}
        phase = next((one for name, one in stage.phases.items() if arguments[f"phase_{name}"]), stage)
        prefix = phase.section or phase.name
        changes, flags = {}, {}
        for key, (field, flag, _) in settings.items():
            value = arguments[key]
            changes[_key(prefix, field)] = parse_setting(_key(section, field), flag, value)
            flags[_key(prefix, field)] = flag
        paths = {name: arguments[key] for key, (name, _) in files.items()}
        wants_estimate = shared.pop("estimate")

        def start(sample: Sample | None = None) -> Run:
            return _open(phase.name, shared, changes, paths, flags=flags, sample=sample)

        def work() -> None:
            if wants_estimate:
                print_estimate(prefix, phase.trains, start(), lambda sample: run_stage(start(sample), phase))
            else:
                run_stage(start(), phase)

        _until_planned(phase.name, work)

    command.__doc__ = f"{_summary(stage)}\n\nExample: {stage.example or stage.command_line()}"
    return _with_signature(command, own, ())


def _key(section: str, field: str) -> str:
    """Return the dotted key of a field of a section, or of one that names its own section."""
    return field if "." in field else f"{section}.{field}"


def _summary(stage: Stage) -> str:
    """Return the first sentence of a stage's help: the first line of the docstring of its function."""
    return (inspect.getdoc(stage.run) or "").partition("\n\n")[0]


def _open(
    name: str,
    shared: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    paths: Mapping[str, Path | None] | None = None,
    *,
    run: Path | None = None,
    flags: Mapping[str, str] | None = None,
    sample: Sample | None = None,
    variants: bool = False,
    recipe_name: str | None = None,
) -> Run:
    """Open the run of a command; with `variants` the command itself checks which settings are read."""
    # What UDASEG_RUN says is a default, which a run that is named comes over.
    if run is not None and shared["run"] not in (None, run) and "UDASEG_RUN" not in os.environ:
        raise UdasegError(f"both {run} and --run {shared['run']} were given", "name the run once")
    if recipe_name is not None and shared["recipe_name"] not in (None, recipe_name):
        raise UdasegError(f"both {recipe_name} and --recipe {shared['recipe_name']} were given", "name the recipe once")
    options = dict(shared) | ({} if run is None else {"run": run})
    options |= {} if recipe_name is None else {"recipe_name": recipe_name}
    flags = {key: f"--{key.rpartition('.')[2].replace('_', '-')}" for key in changes or {}} | dict(flags or {})
    opened = open_plain_run(**options, changes=changes, flags=flags, paths=paths, resume=True)
    if not variants:
        require_read(opened.setting_flags, [opened.recipe], name)
    return opened if sample is None else opened.for_sample(sample)


def _until_planned(name: str, work: Callable[[], None]) -> None:
    try:
        work()
    except PlannedError:
        log(f"{name}: would run after that")


def _with_signature(
    command: Callable[..., None], own: list[inspect.Parameter], without: Collection[str]
) -> Callable[..., None]:
    """Give a command the signature that Typer reads: its own options, then the shared ones."""
    parameters = [parameter.replace(kind=KEYWORD) for parameter in own]
    for name, annotation in SHARED.items():
        if name not in without:
            default = False if annotation in SWITCHES else None
            parameters.append(inspect.Parameter(name, KEYWORD, default=default, annotation=annotation))
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
