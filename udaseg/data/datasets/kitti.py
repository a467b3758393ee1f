"""KITTI semantics: 200 labelled frames and 200 without public labels, in the label ids of Cityscapes."""

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
    list_files,
)

SPLITS = {"train": "training", "val": "training", "test": "testing"}  # one labelled split, also used as val
IMAGE_COUNTS = {"train": 200, "test": 200}
DOWNLOAD_HINT = (
    "download data_semantics.zip from https://www.cvlibs.net/datasets/kitti/eval_semseg.php and unpack it: "
    "training/image_2/*.png, training/semantic/*.png"
)


def images(root: Path, split: str) -> Files:
    """List the images of a split by name, such as 000000_10."""
    folder = f"{choose_split(split, SPLITS, 'kitti')}/image_2"
    return list_files(find_folder(root, [folder], f"the {split} images of KITTI", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split: Cityscapes label ids; raise AbsentError for test, whose labels are not public."""
    if choose_split(split, SPLITS, "kitti") == "testing":
        raise AbsentError("the labels of KITTI's test split are not public", "evaluate on val")
    folder = find_folder(root, ["training/semantic"], "the labels of KITTI", DOWNLOAD_HINT)
    return build_labels(list_files(folder, [".png"]), "cityscapes", "labels: Cityscapes label ids")


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of KITTI semantics."""
    return is_folder(root / "training" / "image_2")
