"""Dark Zurich: unlabelled night, twilight and day, and 50 labelled night images."""

from pathlib import Path

from udaseg.data.datasets.layout import (
    CITYSCAPES_ENDINGS,
    IMAGES,
    AbsentError,
    Files,
    Labels,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_files,
    list_labels,
)

SPLITS = {
    "train": "train/night", "train-twilight": "train/twilight", "train-day": "train/day",
    "val": "val/night", "test": "test/night",
}  # fmt: skip
# Source: C. Sakaridis et al., "Map-guided curriculum domain adaptation", TPAMI 2020, section on Dark Zurich.
IMAGE_COUNTS = {"train": 2_416, "train-twilight": 2_920, "train-day": 3_041, "val": 50, "test": 151}
_ARCHIVES = ("Dark_Zurich_train_anon", "Dark_Zurich_val_anon", "Dark_Zurich_test_anon_withoutGt")
DOWNLOAD_HINT = (
    "download Dark_Zurich_train_anon.zip and Dark_Zurich_val_anon.zip from "
    "https://www.trace.ethz.ch/publications/2019/GCMA_UIoU/ and unpack both into one directory: "
    "rgb_anon/train/night/*/*_rgb_anon.png, gt/val/night/*/*_gt_labelIds.png"
)


def images(root: Path, split: str) -> Files:
    """List the images of a split by name, GOPR0356/GOPR0356_frame_000321; `train` has the night images alone."""
    folder = f"rgb_anon/{choose_split(split, SPLITS, 'darkzurich')}"
    found = find_folder(root, _candidates(folder), f"the {split} images of Dark Zurich", DOWNLOAD_HINT)
    return list_files(found, IMAGES, "_rgb_anon", deep=True)


def labels(root: Path, split: str) -> Labels:
    """List the labels of the val split: label ids where these files exist, else train ids.

    Raises AbsentError for the other splits, which have no public labels.
    """
    folder = choose_split(split, SPLITS, "darkzurich")
    if split != "val":
        raise AbsentError(f"Dark Zurich has no public labels for {split}", "the labelled split is val")
    found = find_folder(root, _candidates(f"gt/{folder}"), "the labels of Dark Zurich", DOWNLOAD_HINT)
    files, ending = list_labels({"": found}, "_gt_", DOWNLOAD_HINT)
    return build_labels(files, CITYSCAPES_ENDINGS[ending], f"labels: {ending}")


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of Dark Zurich."""
    return any(is_folder(root / place) for folder in SPLITS.values() for place in _candidates(f"rgb_anon/{folder}"))


def _candidates(folder: str) -> list[str]:
    """Return where a folder may lie: the archives unpacked into one directory, or each into one of its name."""
    return [folder, *(f"{archive}/{folder}" for archive in _ARCHIVES)]
