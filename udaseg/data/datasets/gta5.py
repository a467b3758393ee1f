"""GTA5 (Playing for Data): images/00001.png to 24966.png with labels/ of the same names, palette PNGs of label ids."""

from pathlib import Path

from udaseg.data.datasets.layout import (
    IMAGES,
    Labels,
    choose_split,
    find_folder,
    in_coding,
    is_folder,
    list_files,
    look_like_train_ids,
    occurring_ids,
)

SPLITS = {"train": "train"}
IMAGE_COUNTS = {"train": 24_966}
DOWNLOAD_HINT = (
    "download the ten image and ten label archives from https://download.visinf.tu-darmstadt.de/data/from_games/ and "
    "unpack them into one directory: images/00001.png, labels/00001.png, ..."
)


def images(root: Path, split: str) -> dict[str, Path]:
    """List the images by stem. GTA5 has one split in domain adaptation, "train", and it is everything."""
    choose_split(split, SPLITS, "gta5")
    return list_files(find_folder(root, ["images"], "the images of GTA5", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels: Cityscapes label ids, or train ids in copies made for training.

    A small share of the frames has labels of another size than the image; they are resized to it.
    """
    choose_split(split, SPLITS, "gta5")
    folder = find_folder(root, ["labels"], "the labels of GTA5", DOWNLOAD_HINT)
    fit = "a label of another size than its image is resized to it, nearest"
    files = {s: p for s, p in list_files(folder, [".png"]).items() if not s.endswith("_labelTrainIds")}
    if not files:
        files = list_files(folder, [".png"], "_labelTrainIds")
        return in_coding(files, "trainids", "labels: train ids (labels/*_labelTrainIds.png)", fit, fit=True)
    if look_like_train_ids(occurring_ids(files, "cityscapes", lambda ids: bool(ids & set(range(19, 35))))):
        return in_coding(files, "trainids", "labels: train ids (255 and nothing above 18 occur)", fit, fit=True)
    return in_coding(files, "cityscapes", "labels: Cityscapes label ids", fit, fit=True)


def matches(root: Path) -> bool:
    """Say whether a directory is laid out like GTA5."""
    return is_folder(root / "images") and is_folder(root / "labels") and not is_folder(root / "images" / "10k")
