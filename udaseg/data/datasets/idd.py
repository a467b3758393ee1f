"""IDD (India Driving Dataset, segmentation): leftImg8bit/<split>/<drive>/, with labels of its devkit in gtFine."""

from pathlib import Path

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
    list_files,
    list_labels,
    with_folders,
)
from udaseg.labels import CODINGS, IGNORE, Coding

SPLITS = {"train": "train", "val": "val", "test": "test"}
# Of both parts. The first has 6,993, 981 and 2,029 PNG files, the second 7,034, 1,055 and 2,009 JPEG files.
IMAGE_COUNTS = {"train": 14_027, "val": 2_036, "test": 4_038}
DOWNLOAD_HINT = (
    "download IDD Segmentation, parts I and II, from https://idd.insaan.iiit.ac.in/ and unpack both into one "
    "directory: leftImg8bit/<split>/<drive>/*_leftImg8bit.png (or jpg), gtFine/<split>/<drive>/"
)
LABEL_HINT = (
    "the archives hold polygons; createLabels.py of https://github.com/AutoNUE/public-code draws the labels: "
    "--id-type csTrainId"
)
# The ids of the devkit, helpers/anue_labels.py of https://github.com/AutoNUE/public-code. Its train ids for Cityscapes
# call "non-drivable fallback" terrain, and so does this table.
_IDS = {
    0: "road", 1: "parking", 2: "drivable fallback", 3: "sidewalk", 4: "rail track", 5: "terrain", 6: "person",
    7: "animal", 8: "rider", 9: "motorcycle", 10: "bicycle", 11: "autorickshaw", 12: "car", 13: "truck", 14: "bus",
    15: "caravan", 16: "trailer", 17: "train", 18: "vehicle fallback", 19: "curb", 20: "wall", 21: "fence",
    22: "guard rail", 23: "billboard", 24: "traffic sign", 25: "traffic light", 26: "pole", 27: "polegroup",
    28: "obs-str-bar-fallback", 29: "building", 30: "bridge", 31: "tunnel", 32: "vegetation", 33: "sky",
    34: "fallback background",
}  # fmt: skip
# The ids of IDD's own benchmark. They merge trains with other vehicles, and terrain with rails.
_LEVEL_3 = {
    0: "road", 1: "drivable fallback", 2: "sidewalk", 3: "non-drivable fallback", 4: "person", 5: "rider",
    6: "motorcycle", 7: "bicycle", 8: "autorickshaw", 9: "car", 10: "truck", 11: "bus", 12: "vehicle fallback",
    13: "curb", 14: "wall", 15: "fence", 16: "guard rail", 17: "billboard", 18: "traffic sign", 19: "traffic light",
    20: "pole", 21: "obs-str-bar-fallback", 22: "building", 23: "bridge", 24: "vegetation", 25: "sky",
}  # fmt: skip
# Ends of file names to codings: what tells most comes first. `labelTrainIds` are copies named as those of Cityscapes.
_CODINGS = {
    "labelids": Coding("idd", _IDS, frozenset([*range(40), IGNORE])),
    "labelcsTrainIds": CODINGS["trainids"],
    "labelTrainIds": CODINGS["trainids"],
    "labelcsIds": CODINGS["cityscapes"],
    "labellevel3Ids": Coding("idd-level3", _LEVEL_3, frozenset([*range(26), IGNORE])),
}


def images(root: Path, split: str) -> Files:
    """List the images of all drives of a split by name; a stem, such as 201_frame0029, begins with its drive."""
    folder = f"leftImg8bit/{choose_split(split, SPLITS, 'idd')}"
    found = find_folder(root, [folder], f"the {split} images of IDD", DOWNLOAD_HINT)
    return with_folders(list_files(found, IMAGES, "_leftImg8bit", deep=True))


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split, in the first of the devkit's encodings that exists.

    Raises AbsentError for the test split, and UdasegError where there are polygons alone.
    """
    if choose_split(split, SPLITS, "idd") == "test":
        raise AbsentError("the labels of IDD's test split are not public", "evaluate on val")
    folder = find_folder(root, [f"gtFine/{split}"], f"the {split} labels of IDD", DOWNLOAD_HINT)
    files, ending = list_labels({"": folder}, "_gtFine_", LABEL_HINT, _CODINGS)
    return build_labels(with_folders(files), _CODINGS[ending], f"labels: {ending}")


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of IDD: that of Cityscapes, with numbered drives for cities."""
    splits = [root / "leftImg8bit" / split for split in SPLITS]
    return any(entry.name.isdecimal() for split in splits if is_folder(split) for entry in list_directory(split))
