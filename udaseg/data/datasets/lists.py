"""List files: text files with the names of the images to use, one a line."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from udaseg.errors import UdasegError, join_names


def select_listed(files: Mapping[str, Path], list_file: Path) -> dict[str, Path]:
    """Select the images that a list file names, from a mapping of stems to paths; keep the order of the mapping.

    A line holds the stem or the file name of an image, with or without directories. Text after a tab or a space is
    ignored: the lists of CBST and ADVENT have the label file there. Lines that begin with # are comments. Raises
    UdasegError for a file that is not text, is empty, or names an image that does not exist.
    """
    try:
        lines = [line.strip() for line in list_file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is no UTF-8 text"
        hint = "a list is a text file with one stem or file name a line; its path is relative to the current directory"
        raise UdasegError(f"cannot read the list of images {list_file}: {problem}", hint) from None
    lines = [line for line in lines if line and not line.startswith("#")]
    stems = {path.stem: stem for stem, path in files.items()} | {path.name: stem for stem, path in files.items()}
    stems |= {stem: stem for stem in files}
    matches = [next((stems[name] for name in _possible_names(line) if name in stems), None) for line in lines]
    missing = [line for line, stem in zip(lines, matches, strict=True) if stem is None]
    if missing or not lines:
        raise UdasegError(
            f"{list_file}: expected names of the {len(files)} images of the split, found "
            + (f"{len(missing)} others: {join_names(missing)}" if missing else "no name"),
            f"write one stem or file name a line, such as {next(iter(files))}",
        )
    selection = set(matches)
    return {stem: path for stem, path in files.items() if stem in selection}


def _possible_names(line: str) -> Iterator[str]:
    """Yield the possible names of the image in a line, the longest first: names may contain spaces."""
    for part in dict.fromkeys((line, line.split("\t")[0], line.split()[0])):
        name = part.replace("\\", "/").rpartition("/")[2]
        yield name
        yield name.rpartition(".")[0]
