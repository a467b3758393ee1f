"""Where the inputs of a stage lie, who makes them where they are missing, and what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.pipeline.manifest import InputDigest, digest, read_manifest
from udaseg.pipeline.run import Run, command_of
from udaseg.pipeline.stage import Input, Stage, StageFile
from udaseg.pipeline.swap import partial_folder, require_finished, settle


def require_finished_stage(run: Run, stage: str, round: int | None = None, command: str | None = None) -> Path:
    """Return the directory of a finished stage of the run; raises UdasegError naming the command that makes it."""
    folder = run.stage_folder(stage, round)
    if read_manifest(folder) is None:
        state = "is unfinished" if folder.is_dir() or partial_folder(folder).is_dir() else "does not exist"
        number = round or run.round
        repeated = number > 1 and run.stages[stage].each_round
        command = command_of(run, command or run.stages[stage].command_line(), number if repeated else None)
        raise UdasegError(f"{folder} {state}, and this stage reads it", f"run first: {command}")
    return settle(folder)


def refuse_unread_flags(run: Run, stage: Stage) -> None:
    """Raise UdasegError where a flag names an input that this stage does not read with this recipe."""
    for declared in stage.inputs:
        if declared.name in run.paths and not declared.is_read(run.recipe):
            refuse_flags({declared.option(): run.paths[declared.name]}, declared.because, declared.hint)


def refuse_flags(flags: dict[str, object], because: str, hint: str) -> None:
    """Raise UdasegError where one of these flags was given (its value is not None) and nothing would read it."""
    unread = [flag for flag, value in flags.items() if value is not None]
    if unread:
        pronoun = "it" if len(unread) == 1 else "them"
        raise UdasegError(f"{', '.join(unread)}: nothing would read {pronoun}: {because}", hint)


def input_path(run: Run, declared: Input) -> Path | None:
    """Return the path of an input: what its flag names, else its place in the run; None where nothing is read.

    Raises UdasegError where the stage that writes it is not finished.
    """
    flagged = run.paths.get(declared.name)
    if flagged is not None:
        return find_flagged(run, declared.option(), flagged, _file_name(run, declared))
    if declared.beside is not None and declared.beside in run.paths:
        return _path_beside(run, declared)
    place = declared.locate(run.recipe, run.round)
    if not isinstance(place, StageFile):
        return place
    command = None
    if "model" in declared.make_unless and "model" in run.paths:
        command = shlex.join([*shlex.split(run.stages[place.stage].command_line()), f"--model={run.paths['model']}"])
    return require_finished_stage(run, place.stage, place.round, command) / place.path


def digest_input(path: Path) -> InputDigest:
    """Name an input by its path and the digest of its content; raises UdasegError where there is no such file."""
    if not path.exists():
        raise UdasegError(f"{path} does not exist", "check the path; without its flag, the run's is read")
    require_finished(path)
    return InputDigest(str(path), digest(path))


def ensure_input(run: Run, declared: Input) -> None:
    """Run the stage that writes an input, unless it is up to date or a flag names another."""
    from udaseg.pipeline.engine import run_stage  # which looks for inputs through this module

    place = declared.locate(run.recipe, run.round)
    if is_made(run, declared) and isinstance(place, StageFile):
        dependency = run.for_dependency()
        run_stage(dependency if place.round is None else dependency.in_round(place.round), run.stages[place.stage])


def is_made(run: Run, declared: Input) -> bool:
    """Tell whether the input is made where it is missing."""
    return declared.make and not any(name in run.paths for name in (declared.name, *declared.make_unless))


def find_flagged(run: Run, option: str, path: Path, name: str) -> Path:
    """Return the file or folder `name` that a flag means: itself, its stage's directory, or a stage of the run.

    An empty name is a stage's directory. Raises UdasegError where there is none.
    """
    in_run = run.stage_folder(str(path))
    is_right = Path.is_file if Path(name).suffix else Path.is_dir
    for candidate in (in_run / name, path / name, path):
        if is_right(candidate):
            return candidate
    if str(path) in run.stages and not path.exists():
        return require_finished_stage(run, str(path)) / name
    kind = name if Path(name).suffix else f"folder {name}" if name else "stage directory"
    if path.exists():
        raise UdasegError(
            f"{option} {path}: expected a {kind} or a directory with one, found neither", f"name one with {option}"
        )
    raise UdasegError(
        f"{option} {path}: {path} does not exist, and neither does {in_run / name}",
        f"name a {kind} or a stage that has one; `{command_of(run, 'udaseg status')}` says which stages are done",
    )


def _file_name(run: Run, declared: Input) -> str:
    """Return the name of an input's file or folder in the directory of the stage that writes it."""
    place = declared.locate(run.recipe, run.round)
    if isinstance(place, StageFile):
        return place.path
    return "" if callable(declared.file) else declared.file.partition("/")[2]


def _path_beside(run: Run, declared: Input) -> Path:
    """Return the path of a file beside the flagged folder that has the name of its input, such as labels."""
    assert declared.beside is not None
    folder = find_flagged(run, f"--{declared.beside}", run.paths[declared.beside], declared.beside)
    path = folder.resolve().parent / _file_name(run, declared)
    if not path.is_file():
        raise UdasegError(f"{path} does not exist", f"name the one of these {declared.beside} with {declared.option()}")
    return path
