"""Count classes over a labelled set, for stats.json: what spatial priors and class weights are made from."""

from typing import Any

import numpy as np
from PIL import Image

from udaseg.data.records import LabelledSet
from udaseg.parallel import Progress, counted, ordered


def class_counts(pictures: LabelledSet, progress: Progress | None = None) -> dict[str, Any]:
    """Count the pixels of each class, and the images that show it, over a labelled set.

    Returns {classes, pixels [C], images [C], per_image {stem: [C]}} of plain ints; ignored pixels are in none.
    `progress` gets (done, total). Raises UdasegError for the first label that cannot be read.
    """
    classes = len(pictures.space)
    per_image = {}
    counts = ordered(lambda i: histogram(pictures.label(i))[:classes], range(len(pictures)))
    for record, pixels in zip(pictures.records, counted(counts, len(pictures), progress), strict=True):
        per_image[record.stem] = pixels.tolist()
    table = np.array(list(per_image.values()), np.int64).reshape(-1, classes)
    return {
        "classes": list(pictures.space.classes),
        "pixels": table.sum(0).tolist(),
        "images": (table > 0).sum(0).tolist(),
        "per_image": per_image,
    }


def histogram(values: np.ndarray) -> np.ndarray:
    """Count the values of a uint8 array [H, W]: int64 [256]."""
    # Pillow counts bytes as they are; NumPy's bincount would first widen each to eight.
    return np.array(Image.fromarray(values).histogram(), np.int64)
