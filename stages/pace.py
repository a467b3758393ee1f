"""How long a stage is about to take: what it took before, here or in a run beside this one."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.pipeline.artifacts import Job, read_manifest

# Settings that change how long a step or an image takes, or how many there are; by the last part of their key.
TELLING = {
    "align", "average", "backbone", "batch", "components", "crop", "dataset", "discriminator", "flip", "heads", "limit",
    "aggregate", "list", "name", "pad", "policy", "precision", "prototypes", "scales", "size", "split", "val",
}  # fmt: skip
TRAININGS = ("pretrain", "warmup", "retrain", "distill")


def plan(job: Job, run: Path) -> str:
    """Say how much a stage is about to do, and how long that took before, or how to find out."""
    steps = _steps(job.stage, job.settings)
    parts = [] if steps is None else [f"{steps} steps"]
    for folder in _before(job, run):
        manifest = _read(folder)
        if manifest.get("stage") == job.stage and _alike(manifest, job):
            from udaseg.pipeline.format import duration

            done = _steps(job.stage, manifest["settings"])
            seconds = manifest["seconds"] * (steps / done if steps and done else 1)
            parts.append(f"{f'about {duration(seconds)}' if seconds >= 10 else 'a few seconds'}, as in {folder}")
            break
    else:
        parts = [] if steps is None else [f"{steps} steps (--estimate tells how long they take)"]
    return ", ".join(parts)


def _read(folder: Path) -> dict[str, Any]:
    """Read a manifest; an empty one where there is none, or none of ours: a neighbour's trouble is not this run's."""
    with suppress(OSError, UdasegError):
        manifest = read_manifest(folder)
        if isinstance(manifest, dict) and manifest.keys() >= {"stage", "settings", "inputs", "seconds"}:
            return manifest
    return {}


def _before(job: Job, run: Path) -> Iterator[Path]:
    """Give the places where the same stage may have run: its own first, then those of its run and of its neighbours."""
    yield job.out
    for place in (run, *sorted(run.parent.glob("*/"))):
        yield from (folder for folder in (place / job.out.name, *sorted(place.glob(f"round*/{job.out.name}"))))


def _steps(stage: str, settings: dict[str, Any]) -> int | None:
    own = settings.get(stage)
    return own.get("steps") if stage in TRAININGS and isinstance(own, dict) else None


def _alike(manifest: dict[str, Any], job: Job) -> bool:
    """Tell whether a stage did as much for a step or an image, from the same place."""
    data = [name for name in ("source", "target", "val", "images") if name in job.inputs]
    same = all(manifest["inputs"].get(name, {}).get("path") == job.inputs[name].path for name in data)
    return same and _telling(manifest["settings"]) == _telling(job.settings)


def _telling(settings: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= _telling(value, f"{prefix}{key}.")
        elif key in TELLING:
            found[prefix + key] = list(value) if isinstance(value, tuple) else value
    return found
