"""What is read from the files of labelling tools, and the images that these name."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

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


def shorten(entry: Any) -> str:
    """Return the beginning of an entry of a file, to find it there."""
    text = json.dumps(entry, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]} ..."


@contextmanager
def reading_entry(file: Path | str, tool: str, entry: Any) -> Iterator[None]:
    """Raise UdasegError with the entry where a key or a value is not that of the tool inside this block."""
    try:
        yield
    except DAMAGE:
        raise UdasegError(
            f"{file}: expected annotations of {tool}, found a damaged entry: {shorten(entry)}",
            f"export it again with {tool}",
        ) from None


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
