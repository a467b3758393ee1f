"""Mapillary Vistas: <split>/images/*.jpg, and labels in the layout of v1.x, or in that of v2.0 for both codings."""

from pathlib import Path

from udaseg.data.datasets.layout import (
    IMAGES,
    Files,
    Labels,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_files,
    sample_ids,
)
from udaseg.errors import UdasegError

SPLITS = {
    "train": "training", "val": "validation", "test": "testing",
    "training": "training", "validation": "validation", "testing": "testing",
}  # fmt: skip
IMAGE_COUNTS = {"train": 18_000, "val": 2_000, "test": 5_000}
DOWNLOAD_HINT = (
    "ask for Mapillary Vistas at https://www.mapillary.com/dataset/vistas and unpack it: training/images/*.jpg, "
    "training/v1.2/labels/*.png (or training/labels/*.png)"
)


def images(root: Path, split: str) -> Files:
    """List the images of a split by name."""
    folder = find_folder(
        root, [f"{s}/images" for s in _folders(split)], f"the {split} images of Mapillary Vistas", DOWNLOAD_HINT
    )
    return list_files(folder, IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split: v1.2 ids where these files exist, else v2.0 ids.

    Raises UdasegError where the folder of v1.2 holds ids of v2.0.
    """
    candidates = [f"{s}/{kind}" for kind in ("v1.2/labels", "labels", "v2.0/labels") for s in _folders(split)]
    folder = find_folder(root, candidates, f"the {split} labels of Mapillary Vistas", DOWNLOAD_HINT)
    files = list_files(folder, [".png"])
    coding = "mapillary-v2.0" if folder.parent.name == "v2.0" else "mapillary-v1.2"
    is_ambiguous = folder.parent.name not in ("v1.2", "v2.0")
    if is_ambiguous and max(sample_ids(files, coding, lambda ids: max(ids, default=0) > 65), default=0) > 65:
        raise UdasegError(
            f"{folder}: expected the 66 ids of Mapillary Vistas v1.2, found ids above 65",
            "labels of v2.0 belong in <split>/v2.0/labels",
        )
    return build_labels(files, coding, f"labels: {coding} ids in {folder.relative_to(root)}/")


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of Mapillary Vistas."""
    return any(is_folder(root / split / "images") for split in ("training", "validation", "testing"))


def _folders(split: str) -> tuple[str, ...]:
    name = choose_split(split, SPLITS, "mapillary")
    # DADA's copy calls the first split train.
    return (name, "train") if name == "training" else (name,)
