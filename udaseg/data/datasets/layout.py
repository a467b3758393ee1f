"""Functions that find the files of a dataset: folders, names, and the ids in its labels."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.data.datasets.container import detect_container, spread
from udaseg.data.images import read
from udaseg.data.images.label_pixels import IDS, Container
from udaseg.data.places.indexed_path import Entry, IndexedPath
from udaseg.errors import UdasegError, join_names
from udaseg.labels import IGNORE, Coding, find_coding

IMAGES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm")
CITYSCAPES_ENDINGS = {"labelIds": "cityscapes", "labelTrainIds": "trainids"}  # ends of file names to codings


class AbsentError(UdasegError):
    """Report data that do not exist on this disk, or were never published."""


class Files(dict[str, Path]):
    """The files of a folder by name: the path below the folder, without ending and suffix, such as bonn/bonn_000001.

    `left_out` lists the other files below the folder by their paths, hidden ones excepted.
    """

    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labels:
    """The label files of a split, with their coding and depth.

    `files` and `depth` map names to paths (see `Files`). `notes` describe the detected layout and encoding to the
    user. With `resize`, labels of another aspect than their image are resized to it; without, they are an error.
    `read_depth` reads a depth file: uint16 [H, W] in centimetres. `container` is how the files carry the ids.
    """

    files: Mapping[str, Path]
    coding: Coding
    notes: tuple[str, ...]
    depth: Mapping[str, Path] = field(default_factory=dict)
    resize: bool = False
    read_depth: Callable[[Path], np.ndarray] = read.read_depth
    container: Container = IDS


def find_folder(root: Path, candidates: Sequence[str], description: str, hint: str) -> Path:
    """Return the first of the candidate folders within `root` that exists.

    Raises AbsentError where none exists. Its message holds the description and the folders; its hint is `hint`.
    """
    for candidate in candidates:
        if is_folder(root / candidate):
            return root / candidate
    if not is_folder(root):
        raise AbsentError(f"there is no directory {root}, where {description} should be", hint)
    content = ", ".join(sorted(entry.name + "/" * entry.is_dir() for entry in list_directory(root))[:12]) or "nothing"
    folders = ", ".join(f"{candidate}/" for candidate in candidates)
    raise AbsentError(f"{root}: expected {description} in {folders}; found {content}", hint)


def is_folder(path: Path) -> bool:
    """Return whether a path is a directory; raise UdasegError where its parents cannot be read."""
    try:
        return path.is_dir()
    except OSError as error:
        raise UdasegError(f"{path}: cannot read it: {error.strerror or error}", "correct its permissions") from None


def list_files(folder: Path, suffixes: Sequence[str], ending: str = "", start: str = "", deep: bool = False) -> Files:
    """List the files of a folder by name, in the order of their names, without hidden files.

    `suffixes` are the accepted file types, such as ".png". Only files whose name begins with `start`, and ends in
    `ending` before the suffix, are listed; their name contains neither. With `deep` the files of all sub-folders are
    listed too. Raises UdasegError where two files have the same name (a.jpg and a.png).
    """
    files, left_out, duplicates = Files(), [], []
    for below, path in _walk(folder):
        dot = path.name.rfind(".")
        stem, suffix = path.name[:dot], path.name[dot:]
        is_named = stem.startswith(start) and stem.endswith(ending) and len(stem) > len(start) + len(ending)
        if suffix.lower() not in suffixes or not is_named or (below and not deep):
            left_out.append(below + path.name)
            continue
        name = below + stem.removeprefix(start).removesuffix(ending)
        if name in files:
            duplicates.append(f"{below}{files[name].name} and {below}{path.name}")
        files[name] = path
    if duplicates:
        raise UdasegError(
            f"{folder}: expected one file for each stem, found {join_names(duplicates)}",
            "remove or rename one of each",
        )
    files.left_out = tuple(left_out)
    return files


def list_folders(
    folders: Mapping[str, Path],
    suffixes: Sequence[str],
    ending: str = "",
    start: str = "",
    deep: bool = False,
    root: Path | None = None,
) -> Files:
    """List the files of several folders as those of one: a name begins with the key of its folder, such as fog/.

    The other arguments are those of `list_files`. The files that are left out are named by their paths below `root`;
    without it, none is.
    """
    files = Files()
    for key, folder in folders.items():
        below = f"{key}/" if key else ""
        listing = list_files(folder, suffixes, ending, start, deep)
        files |= {below + name: path for name, path in listing.items()}
        if root is not None:
            files.left_out += tuple((folder / name).relative_to(root).as_posix() for name in listing.left_out)
    return files


def with_folders(files: Files) -> Files:
    """Put the folders of each name into its stem too, as in 201/201_000000: where folders number files from 0."""
    renamed = Files()
    for name, path in files.items():
        folder = name.rpartition("/")[0]
        renamed[f"{folder}/{name.replace('/', '_')}" if folder else name] = path
    renamed.left_out = files.left_out
    return renamed


def _walk(folder: Path, below: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every file below a folder that is not hidden, with its directory below the folder: "", or "bonn/"."""
    for entry in sorted(list_directory(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield below, folder / entry.name
        # A link to a directory above would be followed for ever.
        elif not (entry.is_symlink() and folder.resolve().is_relative_to((folder / entry.name).resolve())):
            yield from _walk(folder / entry.name, f"{below}{entry.name}/")


def describe(name: str, path: Path) -> str:
    """Return the file name of a listed file with its directories below the folder, such as seq1/000000.png."""
    return name[: name.rfind("/") + 1] + path.name


def count_folders(names: Iterable[str]) -> dict[str, int]:
    """Count the names of each sub-folder, such as {"seq1": 5}; those without one are not counted."""
    return dict(sorted(Counter(name.rpartition("/")[0] for name in names if "/" in name).items()))


def list_labels(
    folders: Mapping[str, Path],
    start: str,
    hint: str,
    endings: Iterable[str] = CITYSCAPES_ENDINGS,
) -> tuple[Files, str]:
    """List the label files of folders and their subfolders by name (see `list_folders`), and the ending of the names.

    A file name is a stem, `start`, an ending and .png; the first of `endings` that any file has is used. Raises
    UdasegError with `hint` where no file has one.
    """
    for ending in endings:
        if files := list_folders(folders, [".png"], f"{start}{ending}", deep=True):
            return files, ending
    names = " or ".join(f"*{start}{ending}.png" for ending in endings)
    raise UdasegError(f"{next(iter(folders.values()))}: expected labels in its subfolders, {names}; found none", hint)


def list_directory(folder: Path | IndexedPath) -> Iterable[os.DirEntry | Entry]:
    """Return the entries of a directory; raise UdasegError where it cannot be read."""
    if isinstance(folder, IndexedPath):
        return folder.entries()
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UdasegError(
            f"{folder}: cannot list the directory: {error.strerror or error}", "correct its permissions, or the path"
        ) from None


def choose_split(split: str, names: Mapping[str, str], dataset: str) -> str:
    """Return the name of a split in this dataset; raise UdasegError for a split that it does not have."""
    if split not in names:
        raise UdasegError(f"{dataset} has no split {split!r}", f"its splits: {', '.join(dict.fromkeys(names))}")
    return names[split]


def sample_ids(files: Mapping[str, Path], coding: str | Coding, is_enough: Callable[[set[int]], bool]) -> set[int]:
    """Collect the ids in up to 20 label files, evenly spread over the split; stop once `is_enough(ids)` is true.

    Files that cannot be read count for nothing here.
    """
    from udaseg.metrics import count_ids  # brings numba, which most datasets never need

    coding = find_coding(coding)
    container = detect_container(files, coding)
    ids: set[int] = set()
    for path in spread(files, 20):
        with suppress(UdasegError):
            ids |= set(np.flatnonzero(count_ids(read.read_label_ids(path, coding.name, container))).tolist())
        if is_enough(ids):
            break
    return ids


def choose_coding(files: Mapping[str, Path], coding: str | Coding, note: str) -> tuple[str | Coding, str]:
    """Return the coding of label files and its note: those given, or train ids where the ids that occur tell so."""
    if are_train_ids(sample_ids(files, coding, lambda ids: max(ids - {IGNORE}, default=0) > 18)):
        return "trainids", "labels: train ids (255 and nothing above 18 occur)"
    return coding, note


def are_train_ids(ids: set[int]) -> bool:
    """Return whether ids are Cityscapes train ids: 255 occurs, and no other id above 18."""
    classes = ids - {IGNORE}
    return IGNORE in ids and bool(classes) and max(classes) <= 18


def build_labels(files: Mapping[str, Path], coding: str | Coding, *notes: str, **fields: Any) -> Labels:
    """Build the Labels of these files from a coding or its name, notes, and other fields of Labels by name.

    Raises UdasegError where the files carry no ids of the coding.
    """
    coding = find_coding(coding)
    container = detect_container(files, coding)
    notes = (*notes, container.note) if container.note else notes
    return Labels(files, coding, notes, container=container, **fields)
