"""WildDash 2: the public frames with labels, in the ids of Cityscapes and five more."""

from pathlib import Path

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
from udaseg.labels import CODINGS, IGNORE, Coding

SPLITS = {"train": "public", "val": "public"}  # one labelled split; the benchmark frames have no public labels
IMAGE_COUNTS = {"train": 4_256}
DOWNLOAD_HINT = (
    "download wd_public_02.zip from https://wilddash.cc/ and unpack it: images/*.jpg, labels/*.png; a copy with "
    "panoptic labels alone is turned into labels/ by pano2sem.py of https://github.com/ozendelait/wilddash_scripts"
)
# The label policy of the devkit turns pickups, vans and road markings into these classes of Cityscapes.
_OWN = {34: "truck", 35: "car", 36: "billboard", 37: "street light", 38: "road"}
_IDS = {**CODINGS["cityscapes"].classes, **_OWN}
_CODING = Coding("wilddash2", _IDS, frozenset([*range(39), IGNORE]))


def images(root: Path, split: str) -> Files:
    """List the public images by name. Both splits, train and val, hold all of them."""
    choose_split(split, SPLITS, "wilddash2")
    return list_files(find_folder(root, ["images"], "the images of WildDash 2", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels: WildDash ids, in <stem>.png or <stem>_labelIds.png, or train ids in some copies."""
    choose_split(split, SPLITS, "wilddash2")
    folder = find_folder(root, ["labels"], "the labels of WildDash 2", DOWNLOAD_HINT)
    files = list_files(folder, [".png"], "_labelIds") or list_files(folder, [".png"])
    note = "labels: WildDash ids; vans are cars, pickups trucks, road markings road"
    return build_labels(files, *choose_coding(files, _CODING, note))


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of WildDash 2: that of GTA5, and panoptic.json."""
    return is_folder(root / "images") and (root / "panoptic.json").is_file()
