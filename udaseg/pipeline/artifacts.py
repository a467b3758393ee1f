"""Stage directories: complete or not at all, resumable, locked, and re-run only for a reason that can be named.

A stage directory holds the stage's files and, once it is complete, `manifest.json`. While work is under way it
holds `.unfinished.json` instead: the settings and inputs of that work, so that a later start knows whether what
is there can be continued. A complete result that is made again stays in `.before` until the new one is there: work
that fails before it has written anything gives it back, and so does the command that made it. `.outputs` lists the
files of a complete stage, and what else is there is its user's. `.lock` keeps two processes apart. Names that start
with a dot are no outputs.
"""

import json
import platform
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
from udaseg.io.files import PARTIAL, content, read_json, write_json
from udaseg.io.locks import locked
from udaseg.pipeline import aside, outputs
from udaseg.pipeline.aside import MANIFEST, UNFINISHED

SCHEMA = 1


@dataclass(frozen=True)
class Input:
    """Something a stage reads: where it is, and the digest of what it holds."""

    path: str
    digest: str


@dataclass(frozen=True)
class Job:
    """What a stage is about to do: enough to tell whether it has been done already."""

    stage: str
    out: Path
    settings: dict[str, Any]
    inputs: dict[str, Input]
    seed: int = 0


@dataclass
class Result:
    """What a stage adds to its manifest while it works."""

    resumed: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)


def reasons(job: Job) -> list[str]:
    """Say why the stage has to run; an empty list means that it is up to date."""
    manifest = read_manifest(job.out)
    if manifest is None:
        if not job.out.is_dir() or not any(job.out.iterdir()):
            return ["it has not been run"]
        if _set_aside(job):
            return ["it is unfinished, and what is asked for was finished before: that is put back"]
        unfinished = _unfinished(job.out)
        changed = [] if unfinished is None else differences(unfinished, _identity(job))
        over = ["it is unfinished, and what is there was begun otherwise: it starts over"]
        return [*over, *changed] if changed else ["it is unfinished"]
    return [*differences(manifest, _identity(job)), *outputs.damage(job.out, manifest["outputs"])]


def conflicts(job: Job) -> list[str]:
    """Say in what the work in a directory, complete or not, is not that of the job, which would clear it."""
    unfinished = _unfinished(job.out)
    if read_manifest(job.out) is not None:
        return reasons(job)
    if unfinished is None or not outputs.every(job.out) or _set_aside(job):
        return []
    return differences(unfinished, _identity(job))


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a complete stage directory; None where there is none.

    Raises UdasegError where it lacks what tells whether the stage is up to date.
    """
    hint = f"restore the file from a copy, or move {folder} away; the stage then runs again"
    manifest = read_json(folder / MANIFEST, hint)
    if manifest is not None and not _is_whole(manifest):
        raise UdasegError(f"{folder / MANIFEST} does not hold the settings, inputs and outputs of a stage", hint)
    return manifest


def _unfinished(folder: Path) -> dict[str, Any] | None:
    """Read what the unfinished work in a directory is; None where there is none."""
    return read_json(folder / UNFINISHED, f"remove {folder}; the stage then runs again")


def _is_whole(manifest: dict[str, Any]) -> bool:
    try:
        outputs, seconds = manifest["outputs"], manifest["seconds"]
        texts = [outputs["digest"], outputs["signature"], *(given["digest"] for given in manifest["inputs"].values())]
        maps = manifest["settings"], manifest["metrics"]
        datetime.fromisoformat(manifest["started"])
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
    numbers = isinstance(outputs.get("count"), int) and isinstance(seconds, int | float)
    return numbers and all(isinstance(text, str) for text in texts) and all(isinstance(part, dict) for part in maps)


@contextmanager
def stage(job: Job, *, command: str = "", force: bool = False) -> Iterator[Result]:
    """Hold a stage directory for the time of the work, and make it complete at the end.

    Continues unfinished work of the same settings and inputs, else starts from an empty directory. The manifest
    is written last; leaving by an exception keeps what is there for the next start, and puts back what was complete
    before where nothing has been written. Raises UdasegError where
    another process holds the directory, where it holds files of somebody else's, or where it cannot be written.
    """
    started = time.time()
    require_ours(job.out)  # before anything is put into it
    with _os_errors(job.out), locked(job.out, command):
        resumed = _prepare(job, force)
        before = _spent(job.out) if resumed else 0.0
        write_json(job.out / UNFINISHED, {**_identity(job), "since": started, "seconds": before})
        result = Result(resumed=resumed)
        try:
            yield result
        except BaseException as error:
            if any(path.stat().st_size for path in outputs.every(job.out)):
                if aside.holds(job.out):
                    error.add_note("what was finished before is kept: the command that made it puts it back")
            elif aside.given_back(job.out):
                error.add_note(f"nothing was written: {job.out} is as it was before")
            raise
        for leftover in job.out.rglob(PARTIAL + "*"):
            leftover.unlink()
        manifest = {
            "schema": SCHEMA,
            "stage": job.stage,
            "version": __version__,
            "command": command,
            **_identity(job),
            "outputs": outputs.described(job.out),
            "metrics": result.metrics,
            "warnings": result.warnings,
            "environment": {"python": platform.python_version(), "torch": _version("torch"), **result.environment},
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(before + time.time() - started, 2),
        }
        write_json(job.out / MANIFEST, manifest)
        (job.out / UNFINISHED).unlink()
        aside.drop(job.out)


def put_back(job: Job) -> bool:
    """Put back what was finished before other work began that is unfinished, where it is what the job would make.

    Tells whether it was. Raises UdasegError where another process holds the directory.
    """
    if not _set_aside(job):
        return False
    with _os_errors(job.out), locked(job.out, ""):
        return aside.given_back(job.out)


def digest(path: Path) -> str:
    """Digest what a stage directory, a file or any other directory holds, by content.

    A complete stage directory whose files are as its manifest left them (names, sizes, times) is not read again.
    """
    if path.is_file():
        return content(path.parent, [path])
    manifest = read_manifest(path)
    return outputs.digest(path, None if manifest is None else manifest["outputs"])


def differences(manifest: dict[str, Any], identity: dict[str, Any]) -> list[str]:
    """Name each setting and input in which a manifest differs from what is wanted now."""
    found = []
    if manifest.get("seed") != identity["seed"]:
        found.append(f"seed: {manifest.get('seed')} -> {identity['seed']}")
    before, now = _flat(manifest.get("settings", {})), _flat(identity["settings"])
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            found.append(f"{key}: {_short(before, key)} -> {_short(now, key)}")
    old, new = manifest.get("inputs", {}), identity["inputs"]
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            found.append(f"input {name}: {'removed' if name in old else 'added'}")
        elif old[name]["digest"] != new[name]["digest"]:
            found.append(f"input {name} ({new[name]['path']}) has changed")
    return found


def _identity(job: Job) -> dict[str, Any]:
    inputs = {name: {"path": given.path, "digest": given.digest} for name, given in sorted(job.inputs.items())}
    # Through JSON and back, so that tuples compare equal to the lists that a manifest holds.
    return json.loads(json.dumps({"settings": job.settings, "seed": job.seed, "inputs": inputs}))


def _prepare(job: Job, force: bool) -> bool:
    identity, manifest = _identity(job), read_manifest(job.out)
    unfinished = _unfinished(job.out)
    if manifest is not None and _kind(manifest.get("stage", job.stage)) != _kind(job.stage):
        raise UdasegError(
            f"{job.out} holds a finished {manifest['stage']}, which {job.stage} would clear",
            "give another directory with --out, or remove this one",
        )
    require_ours(job.out)
    if (
        unfinished is not None
        and not force
        and not unfinished.get("clearing")
        and not differences(unfinished, identity)
    ):
        return True
    complete = (job.out / MANIFEST).exists()
    # Marked as unfinished before anything goes: a kill in the middle of clearing leaves a directory we know.
    write_json(job.out / UNFINISHED, {**identity, "clearing": True})
    if complete:
        aside.put(job.out)
    elif unfinished is not None and unfinished.get("clearing"):
        aside.drop(job.out)  # a kill came while it was set aside: it may be half
    aside.clear(job.out)
    return False


def require_ours(folder: Path) -> None:
    """Raise UdasegError where a directory holds files that the work in it would remove, and no stage has written."""
    if read_manifest(folder) is not None:
        found = [path.relative_to(folder).as_posix() for path in outputs.others(folder)]
        if found:
            raise UdasegError(
                f"{folder} is to be made again, and holds what its stage has not written: {join_names(found)}",
                "move that elsewhere, then run the same command again; nothing was touched",
            )
    elif not (folder / UNFINISHED).exists() and outputs.every(folder):
        raise UdasegError(
            f"{folder} holds files that no stage has written",
            "give an empty or a new directory, as with --out; what is in this one was not touched",
        )


def _set_aside(job: Job) -> bool:
    """Tell whether the result that was set aside for other work, which is unfinished, is the one of the job."""
    begun, folder, identity = _unfinished(job.out), job.out / aside.BEFORE, _identity(job)
    before = None if begun is None or not differences(begun, identity) else read_manifest(folder)
    same = before is not None and before.get("stage") == job.stage and not differences(before, identity)
    return same and not outputs.damage(folder, before["outputs"])


def _kind(stage: str) -> str:
    """Give the stage that evaluate-warmup and the like are of."""
    return str(stage).partition("-")[0]


def _spent(folder: Path) -> float:
    """Tell how many seconds of work are in an unfinished directory: a killed process could say nothing at its end."""
    unfinished = _unfinished(folder) or {}
    since, before = unfinished.get("since"), unfinished.get("seconds")
    if not isinstance(since, int | float) or not isinstance(before, int | float):
        return 0.0
    return before + max([0.0, *(path.stat().st_mtime - since for path in outputs.every(folder))])


@contextmanager
def _os_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise UdasegError(
            f"cannot read or write {place}: {error.strerror or error}",
            "free some space, or mend the path or its permissions; then run the same command again, it continues",
        ) from error


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _short(flat: dict[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "(not set)"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
