"""BDD100K, semantic part: 10,000 frames whose labels already are Cityscapes train ids, in the new or the old layout."""

from pathlib import Path

from udaseg.data.datasets.layout import (
    IMAGES,
    AbsentError,
    Labels,
    choose_split,
    find_folder,
    in_coding,
    is_folder,
    list_files,
)

SPLITS = {"train": "train", "val": "val", "test": "test"}
IMAGE_COUNTS = {"train": 7_000, "val": 1_000, "test": 2_000}
DOWNLOAD_HINT = (
    "download the 10K images and the segmentation labels from https://bdd-data.berkeley.edu/ and unpack both into one "
    "directory: images/10k/train/*.jpg, labels/sem_seg/masks/train/*.png"
)


def images(root: Path, split: str) -> dict[str, Path]:
    """List the images by stem."""
    split = choose_split(split, SPLITS, "bdd100k")
    candidates = [f"images/10k/{split}", f"seg/images/{split}"]
    return list_files(find_folder(root, candidates, f"the {split} images of BDD100K", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels; the old layout's files end in _train_id."""
    split = choose_split(split, SPLITS, "bdd100k")
    if split == "test":
        raise AbsentError("the labels of BDD100K's test split are not public", "evaluate on val")
    new, old = f"labels/sem_seg/masks/{split}", f"seg/labels/{split}"
    folder = find_folder(root, [new, old], f"the {split} labels of BDD100K", DOWNLOAD_HINT)
    files = list_files(folder, [".png"], "" if folder == root / new else "_train_id")
    return in_coding(files, "bdd100k", f"labels: train ids in {folder.relative_to(root)}/")


def matches(root: Path) -> bool:
    """Say whether a directory is laid out like BDD100K."""
    return is_folder(root / "images" / "10k") or is_folder(root / "seg" / "images")
