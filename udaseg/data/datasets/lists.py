"""Lists of images: a text file that names, line by line, which images of a split to take."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from udaseg.errors import UdasegError, join_names


def choose(files: Mapping[str, Path], list_file: Path) -> dict[str, Path]:
    """Take from files, by stem, those that a list names; the order stays that of `files`.

    A line names an image by its stem or by its file name, with any directories before it; what follows a tab or a
    space (the label file, in the lists of CBST and ADVENT) is not looked at. Lines that begin with # are comments.
    Raises UdasegError for a file that is no text, names no image, or names one that is not there.
    """
    try:
        lines = [line.strip() for line in list_file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        hint = "a list is a text file, a stem or file name a line; its path is relative to where udaseg is called"
        raise UdasegError(f"cannot read the list of images {list_file}: {error}", hint) from None
    lines = [line for line in lines if line and not line.startswith("#")]
    known = {path.stem: stem for stem, path in files.items()} | {path.name: stem for stem, path in files.items()}
    known |= {stem: stem for stem in files}
    found = [next((known[name] for name in _names(line) if name in known), None) for line in lines]
    missing = [line for line, stem in zip(lines, found, strict=True) if stem is None]
    if missing or not lines:
        raise UdasegError(
            f"{list_file}: expected names of the {len(files)} images of the split, found "
            + (f"{len(missing)} others: {join_names(missing)}" if missing else "no name"),
            f"a line is a stem or a file name, such as {next(iter(files))}",
        )
    chosen = set(found)
    return {stem: path for stem, path in files.items() if stem in chosen}


def _names(line: str) -> Iterator[str]:
    """Give what may be the name of the image in a line, the longest first: names may hold spaces."""
    for part in dict.fromkeys((line, line.split("\t")[0], line.split()[0])):
        name = part.replace("\\", "/").rpartition("/")[2]
        yield name
        yield name.rpartition(".")[0]
