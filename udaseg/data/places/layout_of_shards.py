"""Where the samples of tar and Parquet shards lie in a dataset: as in a `folder` dataset, <split>/images/key.jpg."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from udaseg.data.datasets.layout import IMAGES

SHARDS = (".tar", ".parquet")
_NUMBER = re.compile(r"[-_.]?\d+([-_]of[-_]\d+)?$")
_LABEL_WORDS = ("label", "labels", "seg", "mask", "segmentation", "annotation")
_DEPTH_WORDS = ("depth",)
_IMAGE_WORDS = ("image", "img")
KINDS = {"image": "images", "label": "labels", "depth": "depth"}


def split_of(shard: str) -> str:
    """Return the split of a shard: its folder, or what its name says before its number; `.` where neither does.

    train/000000.tar is of train, and so are train-000000.tar and data/train-00000-of-00010.parquet.
    """
    path = PurePosixPath(shard)
    folder = path.parent.as_posix()
    if folder not in (".", "data"):
        return folder
    return _NUMBER.sub("", path.stem) or "."


def split_key(name: str) -> tuple[str, str]:
    """Split the name of a tar's member into the key of its sample and its extension, as WebDataset does.

    The key goes up to the first dot of the file name: seq1/000001.label.png is seq1/000001 and label.png.
    """
    folder, slash, file = name.rpartition("/")
    key, _, extension = file.partition(".")
    return folder + slash + key, extension


def choose_members(extensions: Iterable[str]) -> dict[str, str]:
    """Return which extension of a sample is its image, its label and its depth, by kind; others are left out.

    label.png, seg.png and mask.png are labels, depth.png is depth, jpg and image.png are images. Beside an image of
    another type a plain png is the label: key.jpg and key.png.
    """
    found: dict[str, str] = {}
    plain = []
    for extension in extensions:
        words = extension.lower().split(".")
        if f".{words[-1]}" not in IMAGES or len(words) > 2:
            continue
        if len(words) == 1:
            plain.append(extension)
        for kind, names in (("image", _IMAGE_WORDS), ("label", _LABEL_WORDS), ("depth", _DEPTH_WORDS)):
            if words[0] in names and len(words) == 2:
                found.setdefault(kind, extension)
    plain.sort(key=lambda extension: extension.lower() == "png")  # the label, where there are two
    for extension in plain:
        kind = "image" if "image" not in found else "label" if extension.lower() == "png" else ""
        if kind:
            found.setdefault(kind, extension)
    return found


def path_in_dataset(split: str, kind: str, key: str, suffix: str) -> str:
    """Return where a file of a sample lies in the dataset: train/images/seq1/000001.jpg."""
    folder = KINDS[kind] if split == "." else f"{split}/{KINDS[kind]}"
    return f"{folder}/{key}.{suffix}"


def is_safe(name: str) -> bool:
    """Return whether a name of a member stays below the folder that it is put into."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and "\\" not in name and name.isprintable()
