"""What is read from the files of labelling tools, and the images that these name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from udaseg.data.convert.regions import AnnotatedImage
from udaseg.data.datasets.layout import IMAGES
from udaseg.errors import UdasegError, join_names

DAMAGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)  # what a JSON of another form raises


class Annotations(NamedTuple):
    """The names of the classes, the annotated images, and texts on what is left out.

    With `has_void` pixels in no region are ignored.
    """

    names: Sequence[str]
    images: Sequence[AnnotatedImage]
    left_out: Sequence[str] = ()
    has_void: bool = False


def collect(images: Sequence[AnnotatedImage], left_out: Mapping[str, int]) -> Annotations:
    """Return annotated images with the sorted names of their classes, and of the counts in `left_out` those above 0."""
    names = sorted(frozenset().union(*(image.names for image in images)))
    return Annotations(names, images, [f"{count} {text}" for text, count in left_out.items() if count])


def damaged_entry(file: Path | str, tool: str, error: Exception) -> UdasegError:
    """Build the error for a file of a tool that lacks a key or has a value of another kind."""
    problem = f"no {error}" if isinstance(error, KeyError) else error
    return UdasegError(
        f"{file}: expected annotations of {tool}, found a damaged entry: {problem}", f"export it again with {tool}"
    )


class ImageIndex:
    """All images below a directory by file name, those of the folders `without` excepted; no name leads out of it."""

    def __init__(self, root: Path, without: Sequence[Path] = ()):
        self._root = root
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        folders = [folder.resolve() for folder in without]
        for path in sorted(root.rglob("*")):
            is_image = path.suffix.lower() in IMAGES and not path.name.startswith(".") and path.is_file()
            if is_image and not (folders and any(map(path.resolve().is_relative_to, folders))):
                self._by_name[path.name].append(path)

    def __contains__(self, name: str) -> bool:
        """Return whether an image has this file name; directories in it count for nothing."""
        return PurePosixPath(name).name in self._by_name

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
