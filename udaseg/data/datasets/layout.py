"""Functions that find the files of a dataset: folders, stems, and the ids in its labels."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.data.datasets.container import detect_container, spread
from udaseg.data.images import read
from udaseg.data.images.label_pixels import IDS, Container
from udaseg.errors import UdasegError, join_names
from udaseg.labels import IGNORE, Coding, find_coding

IMAGES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm")
CITYSCAPES_ENDINGS = {"labelIds": "cityscapes", "labelTrainIds": "trainids"}  # ends of file names to codings


class AbsentError(UdasegError):
    """Report data that do not exist on this disk, or were never published."""


@dataclass(frozen=True)
class Labels:
    """The label files of a split, with their coding and depth.

    `files` and `depth` map stems to paths. `notes` describe the detected layout and encoding to the user. With
    `resize`, labels of another aspect than their image are resized to it; without, they are an error. `read_depth`
    reads a depth file: uint16 [H, W] in centimetres. `container` is how the files carry the ids.
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


def list_files(folder: Path, suffixes: Sequence[str], ending: str = "", prefix: str = "") -> dict[str, Path]:
    """List the files of a folder: stem to path, sorted by name, without hidden files.

    `suffixes` are the accepted file types, such as ".png". Only files whose name ends in `ending` before the suffix
    are listed; the stem does not contain it. `prefix` is put before each stem. Raises UdasegError where two files
    have the same stem (a.jpg and a.png).
    """
    files: dict[str, Path] = {}
    duplicates = []
    for entry in sorted(list_directory(folder), key=lambda entry: entry.name):
        dot = entry.name.rfind(".")
        name, suffix = entry.name[:dot], entry.name[dot:]
        if suffix.lower() not in suffixes or not name.endswith(ending) or entry.name.startswith("."):
            continue
        stem = prefix + name.removesuffix(ending)
        if stem in files:
            duplicates.append(f"{files[stem].name} and {entry.name}")
        files[stem] = folder / entry.name
    if duplicates:
        raise UdasegError(
            f"{folder}: expected one file for each stem, found {join_names(duplicates)}",
            "remove or rename one of each",
        )
    return files


def list_cities(folder: Path, suffixes: Sequence[str], ending: str = "", *, with_city: bool = False) -> dict[str, Path]:
    """List the files in all subfolders (cities) of a folder: stem to path, sorted by city, then by name.

    With `with_city` a stem begins with its subfolder: for datasets in which several subfolders number files from 0.
    """
    files: dict[str, Path] = {}
    for city in sorted(list_directory(folder), key=lambda entry: entry.name):
        if city.is_dir() and not city.name.startswith("."):
            files |= list_files(folder / city.name, suffixes, ending, f"{city.name}_" if with_city else "")
    return files


def list_labels(
    folders: Sequence[Path],
    start: str,
    hint: str,
    endings: Iterable[str] = CITYSCAPES_ENDINGS,
    *,
    with_city: bool = False,
) -> tuple[dict[str, Path], str]:
    """List the label files in the subfolders of folders: stem to path, and the ending of their names.

    A name is its stem, `start`, an ending and .png; the first of `endings` that any file has is used. Raises
    UdasegError with `hint` where no file has one.
    """
    for ending in endings:
        files: dict[str, Path] = {}
        for folder in folders:
            files |= list_cities(folder, [".png"], f"{start}{ending}", with_city=with_city)
        if files:
            return files, ending
    names = " or ".join(f"*{start}{ending}.png" for ending in endings)
    raise UdasegError(f"{folders[0]}: expected labels in its subfolders, {names}; found none", hint)


def list_directory(folder: Path) -> list[os.DirEntry]:
    """Return the entries of a directory; raise UdasegError where it cannot be read."""
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
    """Collect the ids in up to 20 label files, evenly spread over the split; stop once `is_enough(ids)` is true."""
    from udaseg.metrics import count_ids  # brings numba, which most datasets never need

    coding = find_coding(coding)
    container = detect_container(files, coding)
    ids: set[int] = set()
    for path in spread(files, 20):
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
