"""WildDash 2: the public frames with labels, in the ids of Cityscapes and more."""

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
    "download wd_public_02.zip from https://wilddash.cc/ and unpack it: images/*.jpg, labels/*.png; the panoptic "
    "labels of wd_public_v2p0.zip are turned into labels/ by pano2sem.py --json_path panoptic.json --outp_dir_sem "
    "labels of https://github.com/ozendelait/wilddash_scripts"
)
# The classes of Cityscapes that the devkit turns its own into, and the names of those that it turns into none.
# Source: wd2_unified_label_policy.json of https://github.com/ozendelait/wilddash_scripts. Ids above 38 occur in the
# newer archive alone.
_OWN = {
    34: "truck", 35: "car", 36: "billboard", 37: "street light", 38: "road", 39: "junction box", 40: "mailbox",
    41: "road", 42: "phone booth", 43: "road", 44: "bike rack", 45: "pole", 46: "pole", 47: "rider", 48: "rider",
    49: "rider", 50: "bird", 51: "ground animal", 52: "sidewalk", 53: "traffic sign of any kind",
    54: "back of a traffic sign", 55: "trash can", 56: "wall", 57: "other vehicle", 58: "motorcycle", 59: "bench",
    60: "mountain", 61: "road", 62: "wheeled slow", 63: "boat", 64: "road", 65: "sidewalk", 66: "banner",
    67: "ego vehicle", 68: "water", 69: "sand", 70: "road", 71: "fire hydrant", 72: "camera", 73: "snow", 74: "road",
    75: "road", 76: "road", 77: "sidewalk", 78: "terrain", 79: "road", 80: "sidewalk",
}  # fmt: skip
_IDS = {**CODINGS["cityscapes"].classes, **_OWN}
_CODING = Coding("wilddash2", _IDS, frozenset([*_IDS, IGNORE]))


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
