"""What is read from the files of labelling tools, and the images that these name."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from udaseg.data.convert.regions import AnnotatedImage
from udaseg.data.datasets.layout import IMAGES
from udaseg.errors import UdasegError, join_names

DAMAGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)  # what a JSON of another form raises


class Annotations(NamedTuple):
    """The names of the classes, the annotated images, and texts on what is left out."""

    names: Sequence[str]
    images: Sequence[AnnotatedImage]
    left_out: Sequence[str]


def damaged_entry(file: Path, tool: str, error: Exception) -> UdasegError:
    """Build the error for a file of a tool that lacks a key or has a value of another kind."""
    problem = f"no {error}" if isinstance(error, KeyError) else error
    return UdasegError(
        f"{file}: expected annotations of {tool}, found a damaged entry: {problem}", f"export it again with {tool}"
    )


class ImageIndex:
    """All images below a directory by file name; no name leads out of it."""

    def __init__(self, root: Path):
        self._root = root
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in IMAGES and not path.name.startswith(".") and path.is_file():
                self._by_name[path.name].append(path)

    def find(self, name: str, file: Path) -> Path:
        """Return the image of this name, with or without directories; of several, the one with the same directories.

        Raises UdasegError where there is none or several; `file` is the annotation that names it.
        """
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("..", "/")]
        matches = self._by_name.get(parts[-1], []) if parts else []
        for count in range(2, len(parts) + 1):
            longer = [path for path in matches if list(path.parts[-count:]) == parts[-count:]]
            matches = longer or matches
        if len(matches) > 1:  # beside the annotation
            matches = [path for path in matches if path.parent == file.parent] or matches
        if len(matches) != 1:
            found = join_names([str(path) for path in matches]) if matches else "none"
            raise UdasegError(
                f"{file}: expected the image {name} once below {self._root}, found {found}",
                "name the directory of the images with --images",
            )
        return matches[0]
