"""BDD100K, semantic part: 10,000 images with Cityscapes train ids as labels, in the new or the old layout."""

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

SPLITS = {"train": "train", "val": "val", "test": "test"}
IMAGE_COUNTS = {"train": 7_000, "val": 1_000, "test": 2_000}
DOWNLOAD_HINT = (
    "download the 10K images (the 100K ones are for other tasks) and the segmentation labels from "
    "https://bdd-data.berkeley.edu/ and unpack both into one directory: images/10k/train/*.jpg, "
    "labels/sem_seg/masks/train/*.png"
)


def images(root: Path, split: str) -> Files:
    """List the images of a split by name."""
    split = choose_split(split, SPLITS, "bdd100k")
    candidates = [f"images/10k/{split}", f"seg/images/{split}"]
    return list_files(find_folder(root, candidates, f"the {split} images of BDD100K", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split; in the old layout file names end in _train_id.

    Raises AbsentError for the test split, whose labels are not public.
    """
    split = choose_split(split, SPLITS, "bdd100k")
    if split == "test":
        raise AbsentError("the labels of BDD100K's test split are not public", "evaluate on val")
    new, old = f"labels/sem_seg/masks/{split}", f"seg/labels/{split}"
    folder = find_folder(root, [new, old], f"the {split} labels of BDD100K", DOWNLOAD_HINT)
    files = list_files(folder, [".png"], "" if folder == root / new else "_train_id")
    return build_labels(files, "bdd100k", f"labels: train ids in {folder.relative_to(root)}/")


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of BDD100K."""
    # Images of 100k are those of other tasks: with them alone, the error names what is missing.
    folders = ("images/10k", "images/100k", "labels/sem_seg", "seg/images")
    return any(is_folder(root / folder) for folder in folders)
