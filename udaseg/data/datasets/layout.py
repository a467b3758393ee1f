"""Find the files of a dataset on disk: which directory it is in, which stems it holds, what its labels look like."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from udaseg.data.images import read
from udaseg.errors import UdasegError, join_names
from udaseg.labels import Coding, find_coding

IMAGES = (".png", ".jpg", ".jpeg")


class AbsentError(UdasegError):
    """What was looked for is not there, or was never published; everything else that is wrong is a UdasegError."""


@dataclass(frozen=True)
class Labels:
    """The label files of a split by stem, their coding, and what was found out about them.

    `fit`: labels may differ in size from their images and are then resized. `read_depth` gives the centimetres of a
    depth file.
    """

    files: Mapping[str, Path]
    coding: Coding
    notes: tuple[str, ...]
    depth: Mapping[str, Path] = field(default_factory=dict)
    fit: bool = False
    read_depth: Callable[[Path], np.ndarray] = read.read_depth


def find_folder(root: Path, candidates: Sequence[str], what: str, get: str) -> Path:
    """Return the first of some directories below a root that exists.

    Raises AbsentError, which says what was looked for, where, and how to get it.
    """
    for candidate in candidates:
        if is_folder(root / candidate):
            return root / candidate
    if not is_folder(root):
        raise AbsentError(f"there is no directory {root}, where {what} should be", get)
    there = ", ".join(sorted(entry.name + "/" * entry.is_dir() for entry in scan(root))[:12]) or "nothing"
    looked = ", ".join(f"{candidate}/" for candidate in candidates)
    raise AbsentError(f"{root}: expected {what} in {looked}; found {there}", get)


def is_folder(path: Path) -> bool:
    """Say whether a path is a directory; raises UdasegError where that cannot be told."""
    try:
        return path.is_dir()
    except OSError as error:
        raise UdasegError(f"{path}: cannot read it: {error.strerror or error}", "mend its permissions") from None


def list_files(folder: Path, suffixes: Sequence[str], ending: str = "", prefix: str = "") -> dict[str, Path]:
    """List the files of a directory by stem, sorted; hidden files are left out.

    `ending` is what file names carry between stem and suffix and only files that have it count; `prefix` goes before
    the stem. Raises UdasegError where two files have one stem (a.jpg and a.png).
    """
    found: dict[str, Path] = {}
    twice = []
    for entry in sorted(scan(folder), key=lambda entry: entry.name):
        dot = entry.name.rfind(".")
        name, suffix = entry.name[:dot], entry.name[dot:]
        if suffix.lower() not in suffixes or not name.endswith(ending) or entry.name.startswith("."):
            continue
        stem = prefix + name.removesuffix(ending)
        if stem in found:
            twice.append(f"{found[stem].name} and {entry.name}")
        found[stem] = folder / entry.name
    if twice:
        raise UdasegError(
            f"{folder}: expected one file for each stem, found {join_names(twice)}",
            "remove or rename one of each",
        )
    return found


def list_cities(folder: Path, suffixes: Sequence[str], ending: str = "") -> dict[str, Path]:
    """List the files of a directory's own directories by stem, in the order of the stems."""
    found: dict[str, Path] = {}
    for city in sorted(scan(folder), key=lambda entry: entry.name):
        if city.is_dir() and not city.name.startswith("."):
            found |= list_files(folder / city.name, suffixes, ending)
    return found


def scan(folder: Path) -> list[os.DirEntry]:
    """List a directory; raises UdasegError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        found = f"{folder}: cannot list the directory: {error.strerror or error}"
        raise UdasegError(found, "mend its permissions, or the path") from None


def choose_split(split: str, names: Mapping[str, str], dataset: str) -> str:
    """Return what a dataset calls a split; raises UdasegError with the splits there are."""
    if split not in names:
        raise UdasegError(f"{dataset} has no split {split!r}", f"its splits: {', '.join(dict.fromkeys(names))}")
    return names[split]


def occurring_ids(files: Mapping[str, Path], coding: str, enough: Callable[[set[int]], bool]) -> set[int]:
    """Collect the ids in at most 20 label files spread over the split, stopping once they tell enough."""
    paths = list(files.values())
    ids: set[int] = set()
    for i in np.unique(np.linspace(0, len(paths) - 1, 20).astype(int)) if paths else ():
        ids |= set(np.flatnonzero(np.bincount(read.read_label_ids(paths[i], coding).ravel())).tolist())
        if enough(ids):
            break
    return ids


def look_like_train_ids(ids: set[int]) -> bool:
    """Say whether ids are Cityscapes train ids: 255 occurs, and nothing between it and the last class."""
    classes = ids - {255}
    return 255 in ids and bool(classes) and max(classes) <= 18


def in_coding(files: Mapping[str, Path], coding: str, *notes: str, **more) -> Labels:
    """Pair label files with a named coding and the notes on how it was found."""
    return Labels(files, find_coding(coding), notes, **more)
