"""ACDC: fog, night, rain and snow, with Cityscapes label ids or train ids."""

from collections.abc import Sequence
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
    list_folders,
    list_labels,
)

CONDITIONS = ("fog", "night", "rain", "snow")
# A split holds all conditions; train-night holds one.
SPLITS = {
    name: split
    for split in ("train", "val", "test")
    for name in (split, *(f"{split}-{condition}" for condition in CONDITIONS))
}
# 400 images of each condition in train; 100 in val, but 106 at night. Source: the ACDC paper, ICCV 2021.
IMAGE_COUNTS = {"train": 1_600, "val": 406, "test": 2_000}
DOWNLOAD_HINT = (
    "download rgb_anon_trainvaltest.zip and gt_trainval.zip from https://acdc.vision.ee.ethz.ch/ and unpack both into "
    "one directory: rgb_anon/<condition>/<split>/*/*_rgb_anon.png, gt/<condition>/<split>/*/*_gt_labelIds.png"
)
# The archives unpacked into one directory, or each into a directory of its name.
_RGB = ("rgb_anon", "rgb_anon_trainvaltest/rgb_anon")
_GT = ("gt", "gt_trainval/gt")


def images(root: Path, split: str) -> Files:
    """List the images of a split by name, such as fog/GOPR0475/GOPR0475_frame_000041.

    The images may also lie in rgb_anon/<split>/, without conditions: methods after DAFormer arrange them so. The
    splits of one condition are then missing.
    """
    ending, description = "_rgb_anon", f"the {split} images of ACDC"
    folder = find_folder(root, _candidates(_RGB, split), description, DOWNLOAD_HINT)
    if folder.parent.name not in CONDITIONS:
        return list_files(folder, IMAGES, ending, deep=True)
    return list_folders(_conditions(folder, split), IMAGES, ending, deep=True, root=root)


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split: label ids where these files exist, else train ids.

    Raises AbsentError for the test splits, whose labels are not public.
    """
    if choose_split(split, SPLITS, "acdc") == "test":
        raise AbsentError("the labels of ACDC's test split are not public", "evaluate on val")
    folder = find_folder(root, _candidates(_GT, split), f"the {split} labels of ACDC", DOWNLOAD_HINT)
    if folder.parent.name not in CONDITIONS:
        files, ending = list_files(folder, [".png"], "_gt_labelTrainIds", deep=True), "labelTrainIds"
    else:
        files, ending = list_labels(_conditions(folder, split), "_gt_", DOWNLOAD_HINT)
    return build_labels(files, CITYSCAPES_ENDINGS[ending], f"labels: {ending}")


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of ACDC."""
    if any(is_folder(root / name / condition) for name in _RGB for condition in CONDITIONS):
        return True
    splits = [root / "rgb_anon" / split for split in IMAGE_COUNTS]
    return any(map(is_folder, splits)) and not any(is_folder(split / "night") for split in splits)  # Dark Zurich


def _candidates(names: Sequence[str], split: str) -> list[str]:
    """Return the folders that may hold a split, one of any condition for a split of all conditions."""
    folder = choose_split(split, SPLITS, "acdc")
    if split != folder:
        return [f"{name}/{split.removeprefix(f'{folder}-')}/{folder}" for name in names]
    return [f"{name}/{condition}/{folder}" for name in names for condition in CONDITIONS] + [f"{names[0]}/{folder}"]


def _conditions(folder: Path, split: str) -> dict[str, Path]:
    """Return the folders of the conditions of a split by condition; `folder` is one of them."""
    if split != SPLITS[split]:
        return {folder.parent.name: folder}
    every = {condition: folder.parent.parent / condition / folder.name for condition in CONDITIONS}
    return {condition: part for condition, part in every.items() if is_folder(part)}
