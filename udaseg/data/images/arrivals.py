"""Which images in a folder have arrived whole, while other programs write into it."""

from pathlib import Path

from udaseg.data.datasets.layout import IMAGES, list_files

State = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


class Arrivals:
    """Look into a folder again and again. An image is complete when two looks in a row find it unchanged."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._before: dict[Path, State] = {}

    def look(self) -> dict[Path, State]:
        """Return the complete images in the folder and its sub-folders, with their states."""
        now: dict[Path, State] = {}
        for path in list_files(self._folder, IMAGES, deep=True).values():
            try:
                status = path.stat()
            except OSError:  # it was taken away at this moment
                continue
            now[path] = status.st_size, status.st_mtime_ns
        complete = {path: state for path, state in now.items() if state[0] and self._before.get(path) == state}
        self._before = now
        return complete
