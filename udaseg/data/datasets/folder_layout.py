"""Where the splits of a user's own dataset lie: train/images and train/labels, or images/train and labels/train.

A split may be a path below the root, and `.` the root itself. A split without labels may hold its images directly.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from udaseg.data.datasets.layout import IMAGES, is_folder, list_directory

WHOLE = "."  # the split of a dataset that has no folders of splits
# The second names are those of CVAT and Pascal VOC, the others those of labelling tools.
_IMAGES = ("images", "JPEGImages")
_LABELS = ("labels", "SegmentationClass", "masks", "annotations")
# Folders that hold the splits: those of Ultralytics, ADE20K and others, then those of MMSegmentation.
_OUTER = {"images": ("labels", "masks", "annotations"), "img_dir": ("ann_dir",)}
_OF_LABELS = {*_LABELS, *(name for names in _OUTER.values() for name in names)}
_OF_OTHERS = {"training", "validation", "testing", "seg", "10k", "100k"}  # Mapillary's and BDD100K's


def image_folders(root: Path, split: str) -> list[str]:
    """Return where the images of a split may lie below the root."""
    outer = _outer(root, split)
    folders = [f"{split}/{name}" for name in _IMAGES] + ([_below(outer, split)] if outer else [])
    return [*folders, split] if holds_images_alone(root / split) else folders


def label_folders(root: Path, split: str) -> list[str]:
    """Return where the labels of a split may lie below the root."""
    if outer := _outer(root, split):
        return [_below(name, split) for name in _OUTER[outer]]
    return [f"{split}/{name}" for name in _LABELS]


def first_folder(root: Path, folders: Sequence[str]) -> Path:
    """Return the first of these folders that exists, else the first."""
    return next((root / folder for folder in folders if is_folder(root / folder)), root / folders[0])


def beside_images(root: Path, split: str, kind: str) -> Path:
    """Return where the depth or the flow of a split lies, if there is any."""
    return root / _below(kind, split) if _outer(root, split) else root / split / kind


def splits(root: Path) -> list[str]:
    """List the splits, sorted; where there is no folder of a split, the whole dataset is one, if it holds images."""
    holds_images = any(is_folder(root / name) for name in (*_IMAGES, *_OUTER)) or holds_images_alone(root)
    return named_splits(root) or [WHOLE] * holds_images


def named_splits(root: Path) -> list[str]:
    """List the directories that hold images, and those in a directory of images, sorted."""
    inner = [name for name in _folders(root) if any(is_folder(root / name / images) for images in _IMAGES)]
    outer = [name for images in _OUTER if is_folder(root / images) for name in _folders(root / images)]
    return sorted({*inner, *outer})


def has_own_splits(root: Path) -> bool:
    """Return whether there is a split whose name is none that other datasets have for a folder."""
    return not _OF_OTHERS.issuperset(named_splits(root))


def holds_images_alone(folder: Path) -> bool:
    """Return whether a directory holds an image, at any depth, and nothing that may be a folder of labels."""
    if not is_folder(folder):
        return False
    found, open_folders = False, [folder]
    while open_folders:
        current = open_folders.pop()
        for entry in list_directory(current):
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                found = found or entry.name[entry.name.rfind(".") :].lower() in IMAGES
            elif entry.name in _OF_LABELS:
                return False
            elif not (entry.is_symlink() and current.resolve().is_relative_to((current / entry.name).resolve())):
                open_folders.append(current / entry.name)  # a link to a directory above would be followed for ever
    return found


def _outer(root: Path, split: str) -> str | None:
    """Return the directory of images that holds a split; None where the split holds its images, or does not exist."""
    if any(is_folder(root / split / name) for name in _IMAGES):
        return None
    return next((images for images in _OUTER if is_folder(root / _below(images, split))), None)


def _below(outer: str, split: str) -> str:
    """Return where a split lies in a directory of images or labels, which lies beside the split: a/images/val."""
    path = PurePosixPath(split)
    return (path.parent / outer / path.name).as_posix()


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in list_directory(folder) if entry.is_dir() and not entry.name.startswith(".")]
