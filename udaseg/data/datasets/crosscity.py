"""Cross-City (NTHU): Rome, Rio, Tokyo and Taipei, each with 3,200 unlabelled and 100 labelled images.

The root is the directory of one city, or the directory of several cities, which then form one dataset.
"""

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
    list_folders,
    with_folders,
)

CITIES = ("Rome", "Rio", "Tokyo", "Taipei")
SPLITS = {"train": "Train", "test": "Test", "val": "Test"}  # the test split is labelled, and is also used as val
IMAGE_COUNTS = {"train": 3_200, "test": 100}  # in each city
DOWNLOAD_HINT = (
    "ask for the Cross-City dataset at https://yihsinchen.github.io/segmentation_adaptation/ and unpack it: "
    "Rome/Images/Train/*, Rome/Images/Test/*, Rome/Labels/Test/*_eval.png"
)


def images(root: Path, split: str) -> Files:
    """List the images of a split by name, png and jpg. With several cities, a stem begins with its city."""
    split = choose_split(split, SPLITS, "crosscity")
    return _list_cities(root, f"Images/{split}", IMAGES, "")


def labels(root: Path, split: str) -> Labels:
    """List the labels of the test split: Cityscapes label ids of the 13 classes of Cross-City.

    Raises AbsentError for the train split, which has no labels.
    """
    if choose_split(split, SPLITS, "crosscity") == "Train":
        raise AbsentError("Cross-City has no labels for its train split", "the labelled split is test")
    files = _list_cities(root, "Labels/Test", (".png",), "_eval")
    return build_labels(files, "cityscapes", f"labels: Cityscapes label ids of {', '.join(cities(root)) or root.name}")


def matches(root: Path) -> bool:
    """Return whether a directory is one city of Cross-City, or holds at least one."""
    return is_folder(root / "Images" / "Train") or is_folder(root / "Images" / "Test") or bool(cities(root))


def cities(root: Path) -> list[str]:
    """List the cities within a directory; the list is empty for the directory of one city."""
    return [city for city in CITIES if is_folder(root / city / "Images")]


def _list_cities(root: Path, folder: str, suffixes: tuple[str, ...], ending: str) -> Files:
    description = f"{folder} of a Cross-City city"
    if not (names := cities(root)):
        return list_files(find_folder(root, [folder], description, DOWNLOAD_HINT), suffixes, ending)
    folders = {city: find_folder(root / city, [folder], description, DOWNLOAD_HINT) for city in names}
    return with_folders(list_folders(folders, suffixes, ending, root=root))
