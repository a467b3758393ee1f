"""List files: text files with the names of the images to use, one a line."""

import codecs
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from udaseg.data.datasets.layout import IMAGES
from udaseg.data.datasets.names import mark_alike, normalise
from udaseg.errors import UdasegError, join_names


def select_listed(files: Mapping[str, Path], list_file: Path) -> dict[str, Path]:
    """Select the images that a list file names, from a mapping of stems to paths; keep the order of the mapping.

    A line holds the stem or the file name of an image, with or without directories. They decide where images share
    a file name. Text after a tab or a space is ignored: the lists of CBST and ADVENT have the label file there. Lines
    that begin with # are comments. Raises UdasegError for a file that cannot be read, is empty, or names an image
    that does not exist, or several.
    """
    lines = [line for line in map(str.strip, _read(list_file).splitlines()) if line and not line.startswith("#")]
    by_name = defaultdict(list)
    for stem, path in files.items():
        for name in {normalise(name) for name in (stem, path.stem, path.name)}:
            by_name[name].append(stem)
    matches = [_find(line, by_name, files) for line in lines]
    missing = [line for line, stems in zip(lines, matches, strict=True) if not stems]
    if missing or not lines:
        names = [*files, *(path.name for path in files.values())]
        raise UdasegError(
            f"{list_file}: expected names of the {len(files)} images of the split, found "
            + (f"{len(missing)} others: {join_names(mark_alike(missing, names))}" if missing else "no name"),
            f"write one stem or file name a line, such as {next(iter(files))}",
        )
    for line, stems in zip(lines, matches, strict=True):
        if len(stems) > 1:
            paths = [str(files[stem]) for stem in stems]
            hint = f"write its path, or its stem, such as {stems[0]}"
            raise UdasegError(f"{list_file}: expected one image for {line}, found {join_names(paths)}", hint)
    selection = {stems[0] for stems in matches}
    return {stem: path for stem, path in files.items() if stem in selection}


def _read(list_file: Path) -> str:
    """Read UTF-8 or, after its byte order mark, UTF-16; bytes of names that are not UTF-8 are kept as they are."""
    try:
        content = list_file.read_bytes()
    except OSError as error:
        problem = error.strerror or error
        hint = "a list is a text file with one stem or file name a line; its path is relative to the current directory"
        raise UdasegError(f"cannot read the list of images {list_file}: {problem}", hint) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="surrogateescape")


def _find(line: str, by_name: Mapping[str, list[str]], files: Mapping[str, Path]) -> list[str]:
    """Return the stems of the images that a line may name: one, unless images share a name and no folder decides."""
    for name, folders in _possible_names(normalise(line)):
        if stems := by_name.get(name, []):
            common = {stem: _common_end(folders, files[stem].parent.parts) for stem in stems}
            closest = [stem for stem in stems if common[stem] == max(common.values())]
            return [name] if name in closest else closest
    return []


def _possible_names(line: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the possible names of the image in a line with its folders, the longest first: names may have spaces."""
    for part in dict.fromkeys((line, line.split("\t")[0], line.split()[0])):
        *folders, name = part.replace("\\", "/").split("/")
        yield name, folders
        stem, dot, suffix = name.rpartition(".")
        if dot + suffix.lower() in IMAGES:  # such as 1.jpg, where the image is 1.png; 1.2 is another stem than 1
            yield stem, folders


def _common_end(folders: list[str], others: tuple[str, ...]) -> int:
    """Count how many of the last folders of two paths are equal."""
    pairs = zip(reversed(folders), reversed(others), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != normalise(b)), min(len(folders), len(others)))
