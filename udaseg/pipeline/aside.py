"""What a stage's directory holds while it is at work: the result of before, set aside, and what is not finished yet."""

import shutil
from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.io.locks import LOCK, OWNER

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished.json"
BEFORE = ".before"


def put(folder: Path) -> None:
    """Set the result in a directory aside, its manifest first: killed in between, neither half passes for a whole."""
    drop(folder)
    (folder / BEFORE).mkdir()
    for path in sorted(_written(folder), key=lambda path: path.name != MANIFEST):
        path.rename(folder / BEFORE / path.name)


def clear(folder: Path) -> None:
    """Remove what is in a directory, its manifest first, but for what is set aside."""
    for path in sorted(_written(folder), key=lambda path: path.name != MANIFEST):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def holds(folder: Path) -> bool:
    """Tell whether a result is set aside in a directory."""
    return (folder / BEFORE / MANIFEST).exists()


def given_back(folder: Path) -> bool:
    """Put what was set aside back in the place of what is there; tells whether there was anything."""
    if not holds(folder):
        return False
    clear(folder)
    for path in sorted((folder / BEFORE).iterdir(), key=lambda path: path.name == MANIFEST):
        path.rename(folder / path.name)
    (folder / UNFINISHED).unlink()
    (folder / BEFORE).rmdir()
    return True


def drop(folder: Path) -> None:
    """Remove what was set aside."""
    shutil.rmtree(folder / BEFORE, ignore_errors=True)


def _written(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in (UNFINISHED, LOCK, OWNER, BEFORE)]


def require_finished(path: Path) -> None:
    """Raise UdasegError where a stage is at work on a file or directory, or was stopped: it may change yet."""
    for folder in (path, path.parent):
        if (folder / UNFINISHED).exists():
            raise UdasegError(
                f"{folder} is unfinished, and this reads {path}",
                "wait for the stage that writes it, or call that again: it goes on where it was stopped",
            )
