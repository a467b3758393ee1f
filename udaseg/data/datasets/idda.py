"""IDDA: scenarios of a town, a weather and a car, rendered by CARLA, with ids of its own in the red channel.

The root is the directory of one scenario, or that of several scenarios, which then form one dataset.
"""

from pathlib import Path

from udaseg.data.datasets.layout import (
    IMAGES,
    Files,
    Labels,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_directory,
    list_files,
    list_folders,
    with_folders,
)
from udaseg.labels import Coding

SPLITS = {"train": "train"}
IMAGE_COUNTS = {"train": None}  # copies hold some of the 105 scenarios
DOWNLOAD_HINT = (
    "ask for IDDA at https://idda-dataset.github.io/home/ and unpack it: <scenario>/RGB/*.jpg, "
    "<scenario>/Semantic/*.png"
)
# Source: https://idda-dataset.github.io/home/overview/. "Vehicles" are cars and trucks; road lines are road, as in
# Cityscapes.
_IDS = {
    0: "none", 1: "building", 2: "fence", 3: "other", 4: "person", 5: "pole", 6: "road", 7: "road", 8: "sidewalk",
    9: "vegetation", 10: "car", 11: "wall", 12: "traffic sign", 13: "traffic light", 14: "guard rail", 15: "dynamic",
    16: "bicycle", 17: "motorcycle", 18: "rider", 19: "terrain", 20: "sky", 21: "rail track", 22: "ground",
    23: "static",
}  # fmt: skip
_CODING = Coding("idda", _IDS, frozenset(_IDS), channel="red")


def images(root: Path, split: str) -> Files:
    """List the images of all scenarios by name. With several scenarios, a stem begins with its scenario."""
    choose_split(split, SPLITS, "idda")
    return _list(root, "RGB", IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels of all scenarios: the ids of IDDA."""
    choose_split(split, SPLITS, "idda")
    files = _list(root, "Semantic", (".png",))
    return build_labels(files, _CODING, "labels: the ids of IDDA; vehicles are cars")


def matches(root: Path) -> bool:
    """Return whether a directory is a scenario of IDDA, or holds at least one."""
    return is_folder(root) and bool(_scenarios(root) or _is_scenario(root))


def _is_scenario(folder: Path) -> bool:
    return is_folder(folder / "RGB") and is_folder(folder / "Semantic")


def _scenarios(root: Path) -> list[str]:
    return sorted(entry.name for entry in list_directory(root) if _is_scenario(root / entry.name))


def _list(root: Path, kind: str, suffixes: tuple[str, ...]) -> Files:
    description = f"the {kind} files of IDDA"
    scenarios = _scenarios(root) if is_folder(root) else []
    if not scenarios:
        return list_files(find_folder(root, [kind, f"<scenario>/{kind}"], description, DOWNLOAD_HINT), suffixes)
    return with_folders(list_folders({name: root / name / kind for name in scenarios}, suffixes, root=root))
