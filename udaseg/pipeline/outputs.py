"""The files of a stage directory: those that its stage has written, and those that somebody has put beside them."""

import os
from pathlib import Path
from typing import Any

from udaseg.io.files import atomic, content, signature
from udaseg.pipeline.aside import MANIFEST

STATE = "state.pt"  # from which an unfinished training goes on; of no use afterwards, and may be removed
NAMES = ".outputs"  # what a complete stage has written: paths, a zero byte behind each


def every(folder: Path) -> list[Path]:
    """Give the files in a directory in their order, but for those whose name or folder starts with a dot."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(files) if not name.startswith(".")]
    return [path for path in found if path != folder / MANIFEST]


def results(folder: Path) -> list[Path]:
    """Give the files in a directory that count when its stage is finished."""
    return [path for path in every(folder) if path != folder / STATE]


def described(folder: Path) -> dict[str, Any]:
    """Note the names of the files in a directory as those of its stage, and give what the manifest says of them."""
    files = results(folder)
    with atomic(folder / NAMES) as temporary:
        temporary.write_bytes(b"".join(os.fsencode(_name(path, folder)) + b"\0" for path in files))
    return {
        "count": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "digest": content(folder, files),
        "signature": signature(folder, files),
    }


def own(path: Path) -> list[Path]:
    """Give the files in a complete stage directory, or a folder in it, that the stage has written; elsewhere, all."""
    files = results(path)
    for stage in (path, path.parent):
        names = _noted(stage)
        if names is not None:
            return [file for file in files if _name(file, stage) in names]
    return files


def others(folder: Path) -> list[Path]:
    """Give the files in a complete stage directory that its stage has not written."""
    names = _noted(folder)
    return [] if names is None else [path for path in results(folder) if _name(path, folder) not in names]


def digest(folder: Path, noted: dict[str, Any] | None) -> str:
    """Digest what the stage has written; not read again where names, sizes and times are those that were `noted`."""
    files = own(folder)
    if noted is not None and noted["signature"] == signature(folder, files):
        return noted["digest"]
    return content(folder, files)


def damage(folder: Path, noted: dict[str, Any]) -> list[str]:
    """Say in what the files of a stage are not those that its manifest has `noted`; nothing where they are."""
    files = own(folder)
    if len(files) != noted["count"]:
        return [f"its outputs have changed: {noted['count']} files written, {len(files)} found"]
    same = digest(folder, noted) == noted["digest"]
    return [] if same else ["its outputs have changed since they were written"]


def _noted(folder: Path) -> set[str] | None:
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return {os.fsdecode(name) for name in (folder / NAMES).read_bytes().split(b"\0")}
    except OSError:
        return None  # of a stage that was finished before names were noted, or copied without what is hidden


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
