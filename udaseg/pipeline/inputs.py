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
        return _flagged_path(run, declared, flagged)
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


def _flagged_path(run: Run, declared: Input, path: Path) -> Path:
    """Return the file that a flag means: a file, the directory that holds it, or a stage of the run."""
    place = declared.locate(run.recipe, run.round)
    name = place.path if isinstance(place, StageFile) else ""
    if not Path(name).suffix:  # the input is a folder
        return path
    candidates = (run.stage_folder(str(path)) / name, path, path / name)
    if declared.name != "model":
        return path / name if path.is_dir() else path
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if str(path) in run.stages and not path.exists():
        return require_finished_stage(run, str(path)) / name
    raise UdasegError(
        f"{declared.option()} {path}: there is no such file, and neither {path} nor {candidates[0].parent} "
        f"holds a {name}",
        f"name a {name} or a stage that has one; udaseg status says which stages of the run are done",
    )


def _path_beside(run: Run, declared: Input) -> Path:
    place = declared.locate(run.recipe, run.round)
    assert isinstance(place, StageFile)
    assert declared.beside is not None
    path = run.paths[declared.beside].resolve().parent / place.path
    if not path.is_file():
        raise UdasegError(f"{path} does not exist", f"name the one of these {declared.beside} with {declared.option()}")
    return path
