"""GTA5 (Playing for Data): images/00001.png to 24966.png, and palette PNGs of label ids with these names in labels/."""

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
    list_directory,
    list_files,
)

SPLITS = {"train": "train"}
IMAGE_COUNTS = {"train": 24_966}
DOWNLOAD_HINT = (
    "download the ten image and ten label archives from https://download.visinf.tu-darmstadt.de/data/from_games/ and "
    "unpack them into one directory: images/00001.png, labels/00001.png, ..."
)


def images(root: Path, split: str) -> Files:
    """List the images by name. The only split, "train", holds all images."""
    choose_split(split, SPLITS, "gta5")
    return list_files(find_folder(root, ["images"], "the images of GTA5", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels: Cityscapes label ids, as ids or in their colours, or train ids in some copies.

    A few labels have another size and aspect than their image; they are resized to it.
    """
    choose_split(split, SPLITS, "gta5")
    folder = find_folder(root, ["labels"], "the labels of GTA5", DOWNLOAD_HINT)
    resized = "a label of another size than its image is resized to it, nearest"
    files = {s: p for s, p in list_files(folder, [".png"]).items() if not s.endswith("_labelTrainIds")}
    if not files:
        files = list_files(folder, [".png"], "_labelTrainIds")
        return build_labels(files, "trainids", "labels: train ids (labels/*_labelTrainIds.png)", resized, resize=True)
    coding, note = choose_coding(files, "cityscapes", "labels: Cityscapes label ids")
    return build_labels(files, coding, note, resized, resize=True)


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of GTA5."""
    others = ("panoptic.json", "classes.yaml")  # WildDash 2 and datasets of one's own have these folders too
    if not (is_folder(root / "images") and is_folder(root / "labels")) or any((root / n).is_file() for n in others):
        return False
    return all(not entry.is_dir() for entry in list_directory(root / "images"))  # those of others hold splits
