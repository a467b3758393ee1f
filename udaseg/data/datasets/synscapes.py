"""Synscapes: 25,000 rendered frames, img/rgb/1.png, with labels in the ids of Cityscapes in img/class/1.png.

Depth is the distance to the image plane in metres, in OpenEXR files. Source: https://synscapes.on.liu.se/features.html
"""

from pathlib import Path

from udaseg.data.datasets.depth_maps import list_exr_depth
from udaseg.data.datasets.layout import (
    IMAGES,
    Files,
    Labels,
    build_labels,
    choose_coding,
    choose_split,
    find_folder,
    is_folder,
    list_files,
)
from udaseg.data.images.exr import read_exr_depth

SPLITS = {"train": "train"}
IMAGE_COUNTS = {"train": 25_000}
DOWNLOAD_HINT = "ask for Synscapes at https://synscapes.on.liu.se/ and unpack it: img/rgb/1.png, img/class/1.png, ..."


def images(root: Path, split: str) -> Files:
    """List the images by name, at the size of the labels, 720x1440, or at 1024x2048 where these alone exist."""
    choose_split(split, SPLITS, "synscapes")
    return list_files(find_folder(root, ["img/rgb", "img/rgb-2k"], "the images of Synscapes", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels: Cityscapes label ids, or train ids in some copies; resized where the images are 1024x2048.

    Includes the depth maps where they can be read.
    """
    choose_split(split, SPLITS, "synscapes")
    files = list_files(find_folder(root, ["img/class"], "the labels of Synscapes", DOWNLOAD_HINT), [".png"])
    depth, note_of_depth = list_exr_depth(root / "img" / "depth", files)
    notes = ("a label of another size than its image is resized to it, nearest", note_of_depth)
    coding, note = choose_coding(files, "cityscapes", "labels: Cityscapes label ids")
    return build_labels(files, coding, note, *notes, resize=True, depth=depth, read_depth=read_exr_depth)


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of Synscapes."""
    return is_folder(root / "img" / "class")
