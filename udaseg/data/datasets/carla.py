"""CARLA: recordings of one's own and of the Leaderboard, with the tags of CARLA's semantic camera.

A recording is a folder with rgb/ and semantics/ (or semantic/, seg/), or with rgb_front/ and seg_front/, and equal file
names in both. It may lie at any depth: towns, routes and scenarios become part of the stems. `save_to_disk` of a
semantic camera writes such files, without a colour converter. Source of the tags and of the encoding of depth: CARLA's
documentation, "Sensors reference", of versions 0.9.13 and 0.9.15.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from udaseg.data.datasets.container import spread
from udaseg.data.datasets.depth_maps import NO_DEPTH, require_complete
from udaseg.data.datasets.layout import (
    IMAGES,
    AbsentError,
    Files,
    Labels,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_directory,
    list_folders,
    with_folders,
)
from udaseg.data.depth import centimetres
from udaseg.data.images.label_pixels import Container, has_equal_channels
from udaseg.data.images.read import read_label_ids, read_label_pixels
from udaseg.errors import UdasegError
from udaseg.labels import CODINGS, Coding

SPLITS = {"train": "train", "val": "val", "test": "test"}
IMAGE_COUNTS = dict.fromkeys(SPLITS)  # recordings have no published number of images
# The folder of images, and the folders that its labels may lie in.
LABELS_OF = {"rgb": ("semantics", "semantic", "seg"), "rgb_front": ("seg_front",)}
DEPTH_OF = {"rgb": "depth", "rgb_front": "depth_front"}
DOWNLOAD_HINT = (
    "a recording holds rgb/ and semantics/ (or rgb_front/ and seg_front/) with equal file names; other splits than "
    "train lie in val/ and test/"
)
_DEPTH = 6  # folders above a recording: split, scenario, town, weather, route, repetition
_OLD_CODING, _NEW_CODING = CODINGS["carla-0.9.10"], CODINGS["carla-0.9.14"]


def images(root: Path, split: str) -> Files:
    """List the images of all recordings of a split by name; a stem is such as Town01_route_3_0000."""
    base = _base(root, split)
    folders = {_key(folder, base): folder for folder in _find_recordings(base)}
    if not folders:
        candidates = [f"{base.relative_to(root) / name}".removeprefix("./") for name in LABELS_OF]
        find_folder(root, candidates, f"the {split} images of CARLA", DOWNLOAD_HINT)
    return with_folders(list_folders(folders, IMAGES, root=root))


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split: the tags of one version of CARLA, which the files tell; and depth, if all have it.

    Raises AbsentError where a recording has no labels, and UdasegError where the version stays in doubt.
    """
    base = _base(root, split)
    folders: dict[str, Path] = {}
    recordings = _find_recordings(base)
    for folder in recordings:
        if (partner := _find_labels(folder)) is None:
            names = ", ".join(LABELS_OF[folder.name])
            raise AbsentError(
                f"{folder.parent}: expected labels beside {folder.name}/ in {names}, found none", DOWNLOAD_HINT
            )
        folders[_key(folder, base)] = partner
    files = with_folders(list_folders(folders, [".png"]))
    coding, description = _detect_tags(root, files)
    depth, note = _list_depth({_key(folder, base): folder for folder in recordings}, files)
    return build_labels(files, coding, f"labels: {description}", note, depth=depth, read_depth=read_encoded_depth)


def read_encoded_depth(path: Path) -> np.ndarray:
    """Read depth as CARLA encodes it, in the 24 bits of red, green and blue: uint16 [H, W] in centimetres.

    The largest value is 1000 m. Raises UdasegError for a missing or damaged file, and for another kind of PNG.
    """
    pixels = read_label_pixels(path)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise UdasegError(
            f"{path}: expected depth in red, green and blue of 8 bits, found {8 * pixels.itemsize}-bit values of "
            f"{'one channel' if pixels.ndim == 2 else 'three channels'}",
            "record depth without a colour converter",
        )
    return centimetres(pixels @ np.array([1, 256, 65536]) * (1000 / (2**24 - 1)))


def _list_depth(recordings: Mapping[str, Path], names: Mapping[str, Path]) -> tuple[Files, str]:
    """List the depth maps of recordings by name, and a note; none where some are missing, or they are renderings."""
    folders = {key: folder.with_name(DEPTH_OF[folder.name]) for key, folder in recordings.items()}
    present = {key: folder for key, folder in folders.items() if is_folder(folder)}
    files = with_folders(list_folders(present, [".png"]))
    if files and any(map(_is_rendering, spread(files, 3))):
        return Files(), f"{NO_DEPTH}; depth is rendered in grey: record it without a colour converter"
    return require_complete(files, names, next(iter(folders.values())).name, "24 bits in red, green and blue")


def _is_rendering(path: Path) -> bool:
    with suppress(UdasegError):
        pixels = read_label_pixels(path)
        return pixels.ndim == 2 or has_equal_channels(pixels)
    return False


def matches(root: Path) -> bool:
    """Return whether a directory holds a recording, or has a train split of them."""
    bases = [base for base in (root, root / "train") if is_folder(base)]
    return any(_find_labels(base / name) is not None for base in bases for name in LABELS_OF)


def holds_recordings(root: Path) -> bool:
    """Return whether a directory holds a recording at any depth; unlike `matches`, this searches its folders."""
    return any(_find_labels(folder) is not None for folder in _find_recordings(root))


def _base(root: Path, split: str) -> Path:
    """Return the directory of a split: its own, or for train the root, where no split has one."""
    name = choose_split(split, SPLITS, "carla")
    has_splits = any(is_folder(root / other) for other in SPLITS)
    return root if name == "train" and not has_splits else root / name


def _find_recordings(base: Path, depth: int = _DEPTH) -> list[Path]:
    """List the folders of images within a directory, at most `depth` folders below it, sorted."""
    if not is_folder(base):
        return []
    names = sorted(entry.name for entry in list_directory(base) if entry.is_dir() and not entry.name.startswith("."))
    if recordings := [base / name for name in names if name in LABELS_OF]:
        return recordings
    return [folder for name in names if depth for folder in _find_recordings(base / name, depth - 1)]


def _find_labels(folder: Path) -> Path | None:
    """Return the folder of labels that belongs to a folder of images, or None."""
    candidates = (folder.parent / name for name in LABELS_OF[folder.name])
    return next((path for path in candidates if is_folder(folder) and is_folder(path)), None)


def _key(folder: Path, base: Path) -> str:
    return "/".join(folder.parent.relative_to(base).parts)


def _detect_tags(root: Path, files: dict[str, Path]) -> tuple[Coding, str]:
    """Tell the versions apart by the lower half of up to 20 labels: road has tag 7 before 0.9.14, and 1 since."""
    counts = np.zeros(256, np.int64)
    for path in spread(files, 20):
        ids_HW = read_label_ids(path, _NEW_CODING.name, Container("red"))
        counts += np.bincount(ids_HW[len(ids_HW) // 2 :].ravel(), minlength=256)
    if counts[7] == counts[1]:
        raise UdasegError(
            f"{root}: expected labels with road, tag 7 before CARLA 0.9.14 and tag 1 since, found as much of both: "
            f"{counts[7]} pixels",
            "record labels of roads, without a colour converter; or name the folders images/ and labels/: as a folder "
            "dataset, colours of Cityscapes need no classes.yaml",
        )
    if counts[7] > counts[1]:
        return _OLD_CODING, "tags before CARLA 0.9.14 (road is 7); vehicles are cars"
    return _NEW_CODING, "tags since CARLA 0.9.14 (road is 1)"
