"""Replace the directory of a stage by the one in which it was made again, so that a kill at any point does no harm.

A stage works in `<stage>.partial`. When that is complete, three steps follow, and `settle` does those that are left:

1. `<stage>` gets a `replaced.json` and becomes `<stage>.replaced`
2. `<stage>.partial` becomes `<stage>`
3. files of the user move from `<stage>.replaced` into `<stage>`, and the rest of it is removed
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.documents.read import read_document
from udaseg.io.documents.work_record import WorkRecord
from udaseg.io.files import PARTIAL, write_json
from udaseg.io.locks import LockedError, locked
from udaseg.pipeline.outputs import EARLIER, IMAGES, MANIFEST, OUTPUTS, STATE, WORK, written_files

WORKING, REPLACED = ".partial", ".replaced"  # the ends of the names of directories that are no finished stages
RETIRED = "replaced.json"  # without it, a directory of such a name is somebody else's
SWAP_SECONDS = 10.0  # to wait for another process that is between steps 1 and 2


def partial_folder(folder: Path) -> Path:
    """Return the directory beside that of a stage in which the stage works."""
    return _beside(folder, WORKING)


def replaced_folder(folder: Path) -> Path:
    """Return the directory to which an earlier result is moved, and from which it is removed."""
    return _beside(folder, REPLACED)


def lock_file(folder: Path) -> Path:
    """Return the file whose lock keeps two processes from working on one stage."""
    return _real(folder).with_name(f".{_real(folder).name}.lock")


def read_work(folder: Path) -> dict[str, Any] | None:
    """Read which work is unfinished in the partial directory of a stage; None where there is none."""
    partial = partial_folder(folder)
    if (partial / MANIFEST).exists():
        return None  # it is finished, and was not yet moved to its place
    work = read_document(partial / WORK, WorkRecord, f"remove {partial}; the stage then starts anew")
    return None if work is None else work.content()


def settle(folder: Path) -> Path:
    """Finish the replacement of a stage directory where it was interrupted; return where its result lies.

    That is `folder`, but for one case: where nothing may be written, a result that was not yet moved there is read
    in its partial directory. Waits for another process that is replacing the directory at this moment.
    """
    if not _is_half_replaced(folder):
        return folder
    try:
        with locked(lock_file(folder), 0.0 if (folder / MANIFEST).exists() else SWAP_SECONDS):
            settle_locked(folder)
    except (LockedError, OSError):
        pass  # another process does it, or nobody may write here
    is_moved = (folder / MANIFEST).exists() or not _is_complete(partial_folder(folder))
    return folder if is_moved else partial_folder(folder)


def settle_locked(folder: Path) -> None:
    """Finish the replacement of a stage directory; the caller holds its lock."""
    real, partial, replaced = _real(folder), partial_folder(folder), replaced_folder(folder)
    if (replaced / RETIRED).exists() and (real / MANIFEST).exists():
        _remove_replaced(replaced, real)
    with suppress(OSError):
        replaced.rmdir()  # what is left where a file was still open on a network file system
    if _is_complete(partial):
        if real.exists() and not replaced.exists():
            write_json(real / RETIRED, {"replaced_by": partial.name})
            real.rename(replaced)
        partial.rename(real)
    elif (replaced / RETIRED).exists() and (replaced / MANIFEST).exists() and not real.exists():
        replaced.rename(real)  # somebody took its successor away
    if (real / MANIFEST).exists():
        (real / WORK).unlink(missing_ok=True)
        (real / RETIRED).unlink(missing_ok=True)
        if (replaced / RETIRED).exists():
            _remove_replaced(replaced, real)


def stage_folders(run: Path) -> list[Path]:
    """List the finished stage directories of a run, those of rounds too, sorted by path."""
    paths = [*run.glob("*/"), *run.glob("round*/*/")]
    folders = {path.with_name(path.name.removesuffix(WORKING).removesuffix(REPLACED)) for path in paths}
    return [folder for folder in sorted(folders) if settle(folder) == folder and (folder / MANIFEST).is_file()]


def is_stage_name(name: str) -> bool:
    """Tell whether a directory of that name may be a stage: no partial and no replaced one."""
    return not name.endswith((WORKING, REPLACED))


def require_finished(path: Path) -> None:
    """Raise UdasegError where a file or directory belongs to unfinished work: it may change yet."""
    for folder in (path, path.parent):
        unfinished = (folder / WORK).exists() or (folder / EARLIER[1]).exists()
        if unfinished and not (folder / MANIFEST).exists():
            raise UdasegError(
                f"{folder} is unfinished, and this reads {path}",
                "wait for the stage that writes it, or run that again: it continues where it was stopped",
            )


def _is_half_replaced(folder: Path) -> bool:
    return (
        (partial_folder(folder) / MANIFEST).exists()
        or (replaced_folder(folder) / RETIRED).exists()
        or ((folder / WORK).exists() and (folder / MANIFEST).exists())
        or (folder / RETIRED).exists()
    )


def _is_complete(partial: Path) -> bool:
    """Tell whether a partial directory is complete; one without partial.json is somebody else's."""
    return (partial / MANIFEST).exists() and (partial / WORK).exists()


def _remove_replaced(replaced: Path, folder: Path) -> None:
    """Move what the user has put into an earlier result to the new one, and remove the rest.

    The manifest goes after the stage's files, and the mark that the directory is replaced comes last. So a kill at
    any moment leaves what tells the stage's files from the user's.
    """
    files = _all_files(replaced)
    manifest, mark = replaced / MANIFEST, replaced / RETIRED
    ours = {replaced / name for name in (OUTPUTS, IMAGES, WORK, STATE, *EARLIER)}
    ours |= {path for path in files if path.name.startswith(PARTIAL)}
    if manifest.exists():
        ours |= set(written_files(replaced))
    for path in files:
        if path not in {*ours, manifest, mark}:
            _move(path, folder / path.relative_to(replaced))
    for path in (*sorted(ours & set(files)), manifest):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # not empty: somebody has put a file there at this moment, and the next command moves it
        for parent in (Path(parent) for parent, _, _ in os.walk(replaced, topdown=False)):
            if parent != replaced:
                parent.rmdir()
        mark.unlink()
        replaced.rmdir()


def _all_files(folder: Path) -> list[Path]:
    """List all files in a directory, hidden ones and links to directories too."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        paths = [Path(parent, name) for name in (*files, *folders)]
        found += [path for path in paths if path.is_symlink() or not path.is_dir()]
    return found


def _move(path: Path, target: Path) -> None:
    """Move a file of the user's; where the new result has one of that name, to a name that is free."""
    while os.path.lexists(target):
        target = target.with_name(f"{target.name}.kept")
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def _real(folder: Path) -> Path:
    """Return the directory itself where its path is a link to it or has no name, as `.` has none."""
    return folder.resolve() if folder.is_symlink() or folder.name in ("", "..") else folder


def _beside(folder: Path, ending: str) -> Path:
    real = _real(folder)
    return real.with_name(real.name + ending)
