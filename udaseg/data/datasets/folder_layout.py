"""Where the splits of a user's own dataset lie: train/images and train/labels, or images/train and labels/train."""

from collections.abc import Sequence
from pathlib import Path

from udaseg.data.datasets.layout import is_folder, list_directory

# The second names are those of CVAT and Pascal VOC.
_IMAGES = ("images", "JPEGImages")
_LABELS = ("labels", "SegmentationClass")
# Folders that hold the splits: those of Ultralytics, ADE20K and others, then those of MMSegmentation.
_OUTER = {"images": ("labels", "masks", "annotations"), "img_dir": ("ann_dir",)}
_OF_OTHERS = {"training", "validation", "testing", "seg", "10k", "100k"}  # Mapillary's and BDD100K's


def image_folders(root: Path, split: str) -> list[str]:
    """Return where the images of a split may lie below the root."""
    outer = _outer(root, split)
    return [f"{split}/{name}" for name in _IMAGES] + ([f"{outer}/{split}"] if outer else [])


def label_folders(root: Path, split: str) -> list[str]:
    """Return where the labels of a split may lie below the root."""
    if outer := _outer(root, split):
        return [f"{name}/{split}" for name in _OUTER[outer]]
    return [f"{split}/{name}" for name in _LABELS]


def first_folder(root: Path, folders: Sequence[str]) -> Path:
    """Return the first of these folders that exists, else the first."""
    return next((root / folder for folder in folders if is_folder(root / folder)), root / folders[0])


def depth_folder(root: Path, split: str) -> Path:
    """Return where the depth of a split lies, if there is any."""
    return root / "depth" / split if _outer(root, split) else root / split / "depth"


def splits(root: Path) -> list[str]:
    """List the splits: the directories that hold images, and those in a directory of images; sorted."""
    inner = [name for name in _folders(root) if any(is_folder(root / name / images) for images in _IMAGES)]
    outer = [name for images in _OUTER if is_folder(root / images) for name in _folders(root / images)]
    return sorted({*inner, *outer})


def has_own_splits(root: Path) -> bool:
    """Return whether there is a split whose name is none that other datasets have for a folder."""
    return not _OF_OTHERS.issuperset(splits(root))


def _outer(root: Path, split: str) -> str | None:
    """Return the directory of images that holds a split; None where the split holds its images, or does not exist."""
    if any(is_folder(root / split / name) for name in _IMAGES):
        return None
    return next((images for images in _OUTER if is_folder(root / images / split)), None)


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in list_directory(folder) if entry.is_dir() and not entry.name.startswith(".")]
