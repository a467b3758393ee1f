"""UrbanSyn: 7,539 rendered frames, rgb/rgb_0001.png, with train ids in ss/ss_0001.png and depth in OpenEXR files."""

from functools import partial
from pathlib import Path

from udaseg.data.datasets.depth_maps import list_exr_depth
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
from udaseg.data.images.exr import read_exr_depth
from udaseg.labels import CODINGS, IGNORE, Coding

SPLITS = {"train": "train"}
IMAGE_COUNTS = {"train": 7_539}
DOWNLOAD_HINT = (
    "download rgb.zip and ss.zip from https://www.urbansyn.org/ and unpack both into one directory: rgb/rgb_0001.png, "
    "ss/ss_0001.png, ..."
)
# Metres of a stored depth of 1. Source: preprocess_urbansyn.py of CUT3R, and Pixel-Perfect Depth's loader of UrbanSyn.
_METRES = 1e5
# The train ids of Cityscapes, and 19 for what has no class.
_CODING = Coding("urbansyn", CODINGS["trainids"].classes, frozenset([*range(20), IGNORE]))


def images(root: Path, split: str) -> Files:
    """List the images by name, such as 0001. The only split, "train", holds all images."""
    choose_split(split, SPLITS, "urbansyn")
    return _list_numbered(find_folder(root, ["rgb"], "the images of UrbanSyn", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels: train ids, with 19 for unlabelled pixels; and the depth maps where they can be read."""
    choose_split(split, SPLITS, "urbansyn")
    files = _list_numbered(find_folder(root, ["ss"], "the labels of UrbanSyn", DOWNLOAD_HINT), (".png",))
    depth, note = list_exr_depth(root / "depth", files, start="depth_")
    read_depth = partial(read_exr_depth, scale=_METRES)
    return build_labels(files, _CODING, "labels: train ids in ss/", note, depth=depth, read_depth=read_depth)


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of UrbanSyn."""
    return is_folder(root / "rgb") and is_folder(root / "ss")


def _list_numbered(folder: Path, suffixes: tuple[str, ...]) -> Files:
    """List the files <folder>_<number> of a folder by number."""
    return list_files(folder, suffixes, start=f"{folder.name}_")
