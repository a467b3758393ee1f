"""Cross-City (NTHU): Rome, Rio, Tokyo and Taipei; 3,200 unlabelled frames and 100 labelled ones in each.

The root is one city's directory, or the directory of all four, which are then taken together.
"""

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

CITIES = ("Rome", "Rio", "Tokyo", "Taipei")
SPLITS = {"train": "Train", "test": "Test", "val": "Test"}  # the labelled frames are the test split, and serve as val
IMAGE_COUNTS = {"train": 3_200, "test": 100}  # in each city
DOWNLOAD_HINT = (
    "ask for the Cross-City dataset at https://yihsinchen.github.io/segmentation_adaptation/ and unpack it: "
    "Rome/Images/Train/*, Rome/Images/Test/*, Rome/Labels/Test/*_eval.png"
)


def images(root: Path, split: str) -> dict[str, Path]:
    """List the images by stem, png and jpg alike; with several cities each stem begins with its city."""
    split = choose_split(split, SPLITS, "crosscity")
    return _over_cities(root, f"Images/{split}", IMAGES, "")


def labels(root: Path, split: str) -> Labels:
    """List the labels, Cityscapes label ids, of the 13 classes that Cross-City scores."""
    if choose_split(split, SPLITS, "crosscity") == "Train":
        raise AbsentError("Cross-City has no labels for its train split", "the labelled split is test")
    files = _over_cities(root, "Labels/Test", (".png",), "_eval")
    return in_coding(files, "cityscapes", f"labels: Cityscapes label ids of {', '.join(cities(root)) or root.name}")


def matches(root: Path) -> bool:
    """Say whether a directory is a city of Cross-City, or holds some."""
    return is_folder(root / "Images" / "Train") or is_folder(root / "Images" / "Test") or bool(cities(root))


def cities(root: Path) -> list[str]:
    """List the cities below a directory; none where it is one city itself."""
    return [city for city in CITIES if is_folder(root / city / "Images")]


def _over_cities(root: Path, folder: str, suffixes: tuple[str, ...], ending: str) -> dict[str, Path]:
    what, found = f"{folder} of a Cross-City city", {}
    if not (several := cities(root)):
        return list_files(find_folder(root, [folder], what, DOWNLOAD_HINT), suffixes, ending)
    for city in several:
        found |= list_files(find_folder(root / city, [folder], what, DOWNLOAD_HINT), suffixes, ending, f"{city}_")
    return found
