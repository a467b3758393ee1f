"""Count classes over a labelled set, for stats.json: what spatial priors and class weights are made from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.data.image_sets import LabelledSet
from udaseg.errors import UdasegError
from udaseg.io.files import read_json
from udaseg.labels import count_ids
from udaseg.parallel.threads import Progress, map_in_order, with_progress


def class_counts(images: LabelledSet, progress: Progress | None = None) -> dict[str, Any]:
    """Count the pixels of each class, and the images that show it, over a labelled set.

    Returns {classes, pixels [C], images [C], per_image {stem: [C]}} of plain ints; ignored pixels are in none.
    `progress` gets (done, total). Raises UdasegError for the first label that cannot be read.
    """
    classes = len(images.space)
    per_image = {}
    counts = map_in_order(lambda i: count_ids(images.label(i))[:classes], range(len(images)))
    for record, pixels in zip(images.records, with_progress(counts, len(images), progress), strict=True):
        per_image[record.stem] = pixels.tolist()
    table = np.array(list(per_image.values()), np.int64).reshape(-1, classes)
    return {
        "classes": list(images.space.classes),
        "pixels": table.sum(0).tolist(),
        "images": (table > 0).sum(0).tolist(),
        "per_image": per_image,
    }


def read_pixels(path: Path, classes: Sequence[str]) -> list[int]:
    """Read the pixels of each class, [C], from a stats.json. Raises UdasegError where it is not that of the classes."""
    return _read(path, classes)["pixels"]


def read_shown(path: Path, classes: Sequence[str], stems: Sequence[str]) -> np.ndarray:
    """Read which classes each of the named images shows, bool [images, C], from a stats.json.

    Raises UdasegError where it is not that of the classes and images, and where no image shows any class.
    """
    per_image = _read(path, classes).get("per_image")
    per_image = per_image if isinstance(per_image, dict) else {}
    absent = [stem for stem in stems if not _counts(per_image.get(stem), classes)]
    if absent:
        raise UdasegError(
            f"{path} does not count {len(absent)} of the {len(stems)} source images, the first is {absent[0]}",
            "udaseg data stats counts those of a recipe",
        )
    shown = np.array([per_image[stem] for stem in stems], np.int64).reshape(-1, len(classes)) > 0
    if not shown.any():
        raise UdasegError(f"{path}: no source image shows any class", "look at them with udaseg data check")
    return shown


def _read(path: Path, classes: Sequence[str]) -> dict[str, Any]:
    stats = read_json(path)
    if stats is None or stats.get("classes") != list(classes) or not _counts(stats.get("pixels"), classes):
        found = "no file" if stats is None else f"classes {stats.get('classes')}"
        raise UdasegError(
            f"{path}: expected the pixel counts of {', '.join(classes)}; found {found}",
            "udaseg data stats writes them for the classes of a recipe",
        )
    return stats


def _counts(values: Any, classes: Sequence[str]) -> bool:
    """Tell whether these are counts, one of each class."""
    whole = isinstance(values, list) and len(values) == len(classes)
    return whole and all(isinstance(value, int) and value >= 0 for value in values)


def class_weights(pixels: Sequence[int]) -> list[float]:
    """Weigh C classes by 1 / (C f_c), f_c the share of the counted pixels: 0 for a class without any.

    The mean weight of a pixel is 1 where every class occurs (depth distribution, of SYNTHIA's).
    """
    counts = np.asarray(pixels, np.float64)
    shares = counts / max(counts.sum(), 1)
    return np.divide(1, len(counts) * shares, out=np.zeros_like(shares), where=shares > 0).tolist()
