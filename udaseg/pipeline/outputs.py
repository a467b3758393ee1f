"""The files of a stage directory: those that its stage has written, and those that somebody has put beside them."""

import os
from pathlib import Path
from typing import Any

from udaseg.io.digests import content_digest, dataset_digest, signature
from udaseg.io.documents.outputs import OutputFiles
from udaseg.io.documents.read import read_document
from udaseg.io.files import write_json

MANIFEST = "manifest.json"  # written last: a directory that has it is complete
OUTPUTS = "outputs.json"  # the names of the files that the stage has written
IMAGES = "images.json"  # the digest of each image, where a stage does each by itself; see images
WORK = "partial.json"  # which work is under way, and whose; see stage_dir
STATE = "state.pt"  # from which an unfinished training goes on; of no use afterwards, and may be removed
EARLIER = (".outputs", ".unfinished.json", ".owner.json", ".lock")  # what earlier versions wrote instead


def visible_files(folder: Path) -> list[Path]:
    """List the files in a directory, in order, without names and folders that start with a dot."""
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return files


def work_files(folder: Path) -> list[Path]:
    """List the files that a stage, complete or not, may have written: all but the records about it."""
    records = {folder / name for name in (MANIFEST, OUTPUTS, IMAGES, WORK)}
    return [path for path in visible_files(folder) if path not in records]


def result_files(folder: Path) -> list[Path]:
    """List the files that count when a stage is finished: its work without the state of a training."""
    return [path for path in work_files(folder) if path != folder / STATE]


def record_outputs(folder: Path) -> dict[str, Any]:
    """Write outputs.json, which names the files in a directory as its stage's; return the manifest's part on them."""
    files = result_files(folder)
    write_json(folder / OUTPUTS, {"files": [_name(path, folder) for path in files]})
    return {
        "count": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "digest": content_digest(folder, files),
        "signature": signature(folder, files),
    }


def written_files(path: Path) -> list[Path]:
    """List the files that a stage has written, in its complete directory or in a folder of it; elsewhere, all files."""
    files = result_files(path)
    for folder in (path, path.parent):
        names = _recorded_names(folder)
        if names is not None:
            return [file for file in files if _name(file, folder) in names]
    return files


def foreign_files(folder: Path) -> list[Path]:
    """List the files in a complete stage directory that its stage has not written."""
    names = _recorded_names(folder)
    return [] if names is None else [path for path in result_files(folder) if _name(path, folder) not in names]


def outputs_digest(folder: Path, recorded: dict[str, Any] | None) -> str:
    """Return the digest of what a stage has written.

    The files are not read again where names, sizes, times and inodes are those in the manifest's part on them,
    `recorded`. Of a copied directory each file is read once.
    """
    files = written_files(folder)
    if recorded is not None and recorded["signature"] == signature(folder, files):
        return recorded["digest"]
    return dataset_digest(files, folder)


def damage(folder: Path, recorded: dict[str, Any]) -> list[str]:
    """Say how the files of a stage differ from what its manifest has `recorded`; an empty list where they do not."""
    count = len(written_files(folder))
    if count != recorded["count"]:
        return [f"its outputs have changed: {recorded['count']} files written, {count} found"]
    is_same = outputs_digest(folder, recorded) == recorded["digest"]
    return [] if is_same else ["its outputs have changed since they were written"]


def _recorded_names(folder: Path) -> set[str] | None:
    """Read which files a complete stage has written; None where there is no such record."""
    if not (folder / MANIFEST).is_file():
        return None
    hint = f"restore the file, or remove it: all files in {folder} then count"
    outputs = read_document(folder / OUTPUTS, OutputFiles, hint)
    if outputs is not None:
        return set(outputs.files)
    try:
        return {os.fsdecode(name) for name in (folder / EARLIER[0]).read_bytes().split(b"\0")}
    except OSError:
        return None  # of a version before the names were recorded, or copied without hidden files


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
