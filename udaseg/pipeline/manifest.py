"""What a stage is about to do, what its manifest says of a finished one, and whether it has to run again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udaseg.io.digests import content_digest
from udaseg.io.documents.manifest import Manifest
from udaseg.io.documents.read import read_document
from udaseg.pipeline.images import ImageWork, read_image_digests, unchanged_images
from udaseg.pipeline.outputs import MANIFEST, damage, outputs_digest, work_files
from udaseg.pipeline.swap import partial_folder, read_work, settle

SCHEMA = 1
UNFINISHED = "it is unfinished"
STARTS_OVER = "it is unfinished, and what is there was begun otherwise: it starts over"


@dataclass(frozen=True)
class InputDigest:
    """Something a stage reads: where it is, and the digest of what it holds."""

    path: str
    digest: str


@dataclass(frozen=True)
class Job:
    """What a stage is about to do: enough to tell whether it has been done already."""

    stage: str
    out: Path
    settings: dict[str, Any]
    inputs: dict[str, InputDigest]
    seed: int = 0
    images: ImageWork | None = None  # of a stage that does each image by itself

    @property
    def identity(self) -> dict[str, Any]:
        """Return what the result depends on, as a manifest holds it: settings, seed, inputs."""
        inputs = {name: {"path": entry.path, "digest": entry.digest} for name, entry in sorted(self.inputs.items())}
        # Through JSON and back, so that tuples compare equal to the lists that a manifest holds.
        return json.loads(json.dumps({"settings": self.settings, "seed": self.seed, "inputs": inputs}))


def reasons(job: Job) -> list[str]:
    """Say why the stage has to run; an empty list means that it is up to date."""
    changes, work = _changes(job), read_work(job.out)
    if work is None:
        return changes
    if is_work_of(work, job):
        return [UNFINISHED] if changes or work["forced"] else []
    return changes and [STARTS_OVER, *(differences(work, job.identity) if _is_missing(job) else changes)]


def conflicts(job: Job) -> list[str]:
    """Say how a result, or unfinished work, that the stage would replace differs from it; empty where there is none."""
    work = read_work(job.out)
    if work is not None and is_work_of(work, job):
        return []
    if not _is_missing(job):
        return _lasting_changes(job)
    if work is None or not work_files(partial_folder(job.out)):
        return []
    return differences(work, job.identity)


def is_work_of(work: dict[str, Any], job: Job) -> bool:
    """Tell whether the unfinished work that a partial.json describes is that of the job, which then continues it."""
    partial = partial_folder(job.out)
    return not work["clearing"] and work["stage"] == job.stage and not _differences_but_images(work, job, partial)


def differs_in_images_alone(job: Job) -> bool:
    """Tell whether the finished result is whole and differs from what the job would make in some images alone."""
    return job.images is not None and not _is_missing(job) and not _lasting_changes(job)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a finished stage; None where the directory is missing or not finished.

    Raises UdasegError for a manifest that is damaged or lacks something.
    """
    hint = f"restore the file from a copy, or move {folder} away; the stage then runs again"
    manifest = read_document(settle(folder) / MANIFEST, Manifest, hint)
    if manifest is None:  # or the directory was replaced between the two steps above
        manifest = read_document(settle(folder) / MANIFEST, Manifest, hint)
    return None if manifest is None else manifest.content()


def digest(path: Path) -> str:
    """Return the digest of what a stage directory, a file or any other directory holds, by content.

    A finished stage directory is not read again where the names, sizes, times and inodes of its files are those in its
    manifest.
    """
    if path.is_file():
        return content_digest(path.parent, [path])
    manifest = read_manifest(path)
    return outputs_digest(settle(path), None if manifest is None else manifest["outputs"])


def differences(manifest: dict[str, Any], identity: dict[str, Any]) -> list[str]:
    """Name each setting and input in which a manifest or a partial.json differs from the identity of a job."""
    changes = []
    if manifest.get("seed") != identity["seed"]:
        changes.append(f"seed: {manifest.get('seed')} -> {identity['seed']}")
    before, now = _flat(manifest.get("settings", {})), _flat(identity["settings"])
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            changes.append(f"{key}: {_short(before, key)} -> {_short(now, key)}")
    old, new = manifest.get("inputs", {}), identity["inputs"]
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            changes.append(f"input {name}: {'removed' if name in old else 'added'}")
        elif old[name]["digest"] != new[name]["digest"]:
            changes.append(f"input {name} ({new[name]['path']}) has changed")
    return changes


def _changes(job: Job) -> list[str]:
    """Say how the finished result differs from what the job would make."""
    manifest = read_manifest(job.out)
    if manifest is None:
        return ["it has not been run"]
    folder = settle(job.out)
    changes = [*differences(manifest, job.identity), *damage(folder, manifest["outputs"])]
    if changes and differs_in_images_alone(job):
        left = len(job.images.digests) - len(unchanged_images(job.images, folder))
        changes.append(f"{left} of {len(job.images.digests)} images are new or changed, and the others stay")
    return changes


def _lasting_changes(job: Job) -> list[str]:
    """Say how the finished result differs from what the job would make, but for images that can be done alone."""
    manifest, folder = read_manifest(job.out), settle(job.out)
    assert manifest is not None
    return [*_differences_but_images(manifest, job, folder), *damage(folder, manifest["outputs"])]


def _differences_but_images(recorded: dict[str, Any], job: Job, folder: Path) -> list[str]:
    """Say how a manifest or a partial.json differs from the job, but for images that are recorded in `folder`."""
    identity = job.identity
    recorded_inputs = recorded.get("inputs", {})
    if job.images is not None and job.images.input in recorded_inputs and read_image_digests(folder) is not None:
        # The joint digest of all images, which the digest of each replaces here.
        identity["inputs"][job.images.input] = recorded_inputs[job.images.input]
    return differences(recorded, identity)


def _is_missing(job: Job) -> bool:
    return read_manifest(job.out) is None


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _short(flat: dict[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "(not set)"
