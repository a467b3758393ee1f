"""The directory of a stage while the stage works: beside the earlier result, locked, continued after a stop.

A stage works in `<stage>.partial/`, whose `partial.json` says which work that is (stage, settings, seed, inputs) and
who does it. When the work is complete, `manifest.json` is written there last and the directory replaces `<stage>/`, as
`swap` describes. Until then everybody else reads the earlier result. Names that start with a dot are no outputs.
"""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from udaseg import __version__
from udaseg.errors import UdasegError, join_names
from udaseg.io.files import PARTIAL, write_json
from udaseg.io.locks import LockedError, locked, this_process
from udaseg.pipeline.images import keep_unchanged
from udaseg.pipeline.manifest import SCHEMA, Job, differs_in_images_alone, is_work_of, read_manifest
from udaseg.pipeline.outputs import MANIFEST, WORK, foreign_files, record_outputs, visible_files, work_files
from udaseg.pipeline.swap import RETIRED, lock_file, partial_folder, read_work, replaced_folder, settle_locked

LOCK_SECONDS = 0.5  # to wait for a command that finishes an interrupted replacement


@dataclass
class Result:
    """Where a stage writes, and what it adds to its manifest while it works."""

    folder: Path
    resumed: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)


@contextmanager
def open_stage(job: Job, *, command: str = "", force: bool = False) -> Iterator[Result]:
    """Open the partial directory of a stage for its work; when the block ends, the stage is finished.

    Unfinished work of the same settings and inputs is continued, any other is cleared; `force` clears it in any case.
    When the block ends well, the manifest is written and the directory replaces `job.out`. An exception leaves the
    work for the next start, and the earlier result untouched. Raises UdasegError where another process works on the
    stage, where `job.out` holds files that no stage has written, or where it cannot be written.
    """
    started = time.time()
    require_ours(job.out)  # before anything is written
    with locked_stage(job.out):
        settle_locked(job.out)
        require_ours(job.out)
        _require_same_stage(job)
        result = _begin(job, command, force)
        try:
            yield result
        except BaseException as error:
            _stop(job, error)
            raise
        _complete(job, command, started, result)
        settle_locked(job.out)


def require_ours(folder: Path) -> None:
    """Raise UdasegError where a stage directory cannot be replaced, or holds files that no stage has written."""
    if folder.exists() and not folder.is_dir():
        raise UdasegError(f"{folder} is a file, and a stage writes a directory", "name another place with --out")
    is_mount = os.path.ismount(folder.resolve())
    if folder.is_dir() and (is_mount or Path.cwd().is_relative_to(folder.resolve())):
        why = "is a mount point" if is_mount else "is where the command is run"
        raise UdasegError(
            f"{folder} {why}, and a stage replaces its directory as a whole",
            f"write into a directory in it, as with --out {folder / 'result'}",
        )
    if read_manifest(folder) is not None:
        names = [path.relative_to(folder).as_posix() for path in foreign_files(folder)]
        if names:
            raise UdasegError(
                f"{folder} is to be made again, and holds files that its stage has not written: {join_names(names)}",
                "move them elsewhere, then run the same command again; nothing was touched",
            )
    elif visible_files(folder):
        raise _not_ours(folder)
    for beside, record in ((partial_folder(folder), WORK), (replaced_folder(folder), RETIRED)):
        if visible_files(beside) and not (beside / record).exists():
            raise _not_ours(beside)


def clear(job: Job, command: str, *, forced: bool = False) -> dict[str, Any]:
    """Empty the partial directory of a job, or make it, and return the partial.json to write there when that is done.

    The one that is there meanwhile says so: a kill in between leaves nothing that would be continued.
    """
    partial = partial_folder(job.out)
    work = {"stage": job.stage, **job.identity, "owner": this_process(command), "seconds": 0.0, "forced": forced}
    write_json(partial / WORK, work | {"clearing": True})
    for path in partial.iterdir():
        if path.name != WORK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return work | {"clearing": False}


@contextmanager
def locked_stage(folder: Path) -> Iterator[None]:
    """Hold the lock of a stage. Raises UdasegError where another process does, or where something cannot be written."""
    try:
        with _named_errors(folder), locked(lock_file(folder), LOCK_SECONDS):
            yield
    except LockedError:
        work = read_work(folder)
        who = ""
        if work is not None:
            owner = work["owner"]
            who = f" (process {owner['pid']} on {owner['host']}, since {owner['since']}: {owner['command']})"
        raise UdasegError(
            f"{folder} is in use by another udaseg{who}",
            "wait for it, stop it, or write somewhere else with --out",
        ) from None


def _begin(job: Job, command: str, force: bool) -> Result:
    """Prepare the partial directory: continue what is there, or clear it."""
    partial, work = partial_folder(job.out), read_work(job.out)
    resumed = work is not None and not force and is_work_of(work, job)
    if work is not None and resumed:
        work |= {**job.identity, "owner": this_process(command), "seconds": _seconds_spent(work, partial)}
    else:
        work = clear(job, command, forced=force)
    if job.images is not None:
        from_finished = not resumed and not force and differs_in_images_alone(job)
        keep_unchanged(job.images, job.out if from_finished else partial, partial)
        resumed |= from_finished
    write_json(partial / WORK, work)
    return Result(partial, resumed)


def _stop(job: Job, error: BaseException) -> None:
    """Leave unfinished work for the next start; where nothing was written, remove its directory."""
    partial = partial_folder(job.out)
    if not any(path.stat().st_size for path in work_files(partial)):
        shutil.rmtree(partial, ignore_errors=True)
        error.add_note(f"nothing was written: {job.out} is as it was before")
    elif (job.out / MANIFEST).exists():
        error.add_note(f"the earlier result in {job.out} is as it was before")


def _complete(job: Job, command: str, started: float, result: Result) -> None:
    """Write the list of outputs and then the manifest, which makes a partial directory complete."""
    partial, work = result.folder, read_work(job.out)
    if work is None:
        raise UdasegError(
            f"{partial / WORK} was removed while the stage worked, and perhaps more", "run the same command again"
        )
    for leftover in partial.rglob(PARTIAL + "*"):
        leftover.unlink()
    manifest = {
        "schema": SCHEMA,
        "stage": job.stage,
        "version": __version__,
        "command": command,
        **job.identity,
        "outputs": record_outputs(partial),
        "metrics": result.metrics,
        "warnings": result.warnings,
        "environment": {"python": platform.python_version(), "torch": _version("torch"), **result.environment},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(work["seconds"] + time.time() - started, 2),
    }
    write_json(partial / MANIFEST, manifest)


def _require_same_stage(job: Job) -> None:
    """Raise UdasegError where the result of another stage would be replaced."""
    manifest = read_manifest(job.out) or {}
    if _kind(manifest.get("stage", job.stage)) != _kind(job.stage):
        raise UdasegError(
            f"{job.out} holds a finished {manifest['stage']}, which {job.stage} would replace",
            "give another directory with --out, or remove this one",
        )


def _kind(stage: str) -> str:
    """Return the stage of which evaluate-warmup and the like are a kind."""
    return str(stage).partition("-")[0]


def _not_ours(folder: Path) -> UdasegError:
    return UdasegError(
        f"{folder} holds files that no stage has written",
        "move them elsewhere, or name an empty or a new directory; nothing was touched",
    )


def _seconds_spent(work: dict[str, Any], partial: Path) -> float:
    """Return the seconds of work in a partial directory, up to its last file: a killed process notes no end."""
    since = datetime.fromisoformat(work["owner"]["since"]).timestamp()
    return work["seconds"] + max([0.0, *(path.stat().st_mtime - since for path in work_files(partial))])


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system into a UdasegError that names the file, or the stage for files beside it."""
    try:
        yield
    except OSError as error:
        beside = (None, str(lock_file(folder)), str(partial_folder(folder)))
        path = folder if error.filename in beside else error.filename
        raise UdasegError(
            f"cannot read or write {path}: {error.strerror or error}",
            "free some space, or mend the path or its permissions; then run the same command again, it continues",
        ) from error


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
