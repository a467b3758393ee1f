"""UrbanSyn: 7,539 rendered frames, rgb/rgb_0001.png, with train ids in ss/ss_0001.png."""

from pathlib import Path

from udaseg.data.datasets.layout import (
    IMAGES,
    Files,
    Labels,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_files,
)
from udaseg.labels import CODINGS, IGNORE, Coding

SPLITS = {"train": "train"}
IMAGE_COUNTS = {"train": 7_539}
DOWNLOAD_HINT = (
    "download rgb.zip and ss.zip from https://www.urbansyn.org/ and unpack both into one directory: rgb/rgb_0001.png, "
    "ss/ss_0001.png, ..."
)
# The train ids of Cityscapes, and 19 for what has no class.
_CODING = Coding("urbansyn", CODINGS["trainids"].classes, frozenset([*range(20), IGNORE]))


def images(root: Path, split: str) -> Files:
    """List the images by name, such as 0001. The only split, "train", holds all images."""
    choose_split(split, SPLITS, "urbansyn")
    return _list_numbered(find_folder(root, ["rgb"], "the images of UrbanSyn", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels: train ids, with 19 for unlabelled pixels."""
    choose_split(split, SPLITS, "urbansyn")
    files = _list_numbered(find_folder(root, ["ss"], "the labels of UrbanSyn", DOWNLOAD_HINT), (".png",))
    # Depth is published as OpenEXR, a format that Pillow does not read.
    return build_labels(files, _CODING, "labels: train ids in ss/", "depth: none; depth/*.exr is not read")


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of UrbanSyn."""
    return is_folder(root / "rgb") and is_folder(root / "ss")


def _list_numbered(folder: Path, suffixes: tuple[str, ...]) -> Files:
    """List the files <folder>_<number> of a folder by number."""
    return list_files(folder, suffixes, start=f"{folder.name}_")
