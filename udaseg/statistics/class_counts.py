"""Count classes over a labelled set, for stats.json: what aggregation and class weights are made from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from udaseg.data.image_sets import LabelledSet
from udaseg.data.sources import Sources
from udaseg.errors import UdasegError
from udaseg.io.documents.class_statistics import ClassStatistics, SourceCounts
from udaseg.io.documents.read import read_document
from udaseg.metrics import count_ids
from udaseg.parallel.threads import Progress, map_in_order, with_progress


def class_counts(images: LabelledSet | Sources, progress: Progress | None = None) -> ClassStatistics:
    """Count the pixels of each class, and the images that show it, over a labelled set, or over several sources.

    Ignored pixels are not counted. Several sources are also counted each by itself. `progress` gets (done, total).
    Raises UdasegError for the first label that cannot be read.
    """
    classes = len(images.space)
    per_image = {}
    counts = map_in_order(lambda i: count_ids(images.label(i))[:classes], range(len(images)))
    for record, pixels in zip(images.records, with_progress(counts, len(images), progress), strict=True):
        per_image[record.stem] = pixels.tolist()
    table_NC = np.array(list(per_image.values()), np.int64).reshape(-1, classes)
    by_source = {}
    if isinstance(images, Sources):
        parts = np.split(table_NC, images.shares.starts[1:])
        by_source["sources"] = {
            name: SourceCounts(**_sums(part_NC)) for name, part_NC in zip(images.names, parts, strict=True)
        }
    return ClassStatistics(classes=list(images.space.classes), **_sums(table_NC), per_image=per_image, **by_source)


def _sums(table_NC: np.ndarray) -> dict[str, list[int]]:
    return {"pixels": table_NC.sum(0).tolist(), "images": (table_NC > 0).sum(0).tolist()}


def read_pixels(path: Path, classes: Sequence[str]) -> list[int]:
    """Read the pixels of each class, [C], from a stats.json. Raises UdasegError where it has other classes."""
    return _read(path, classes).pixels


def read_shown(path: Path, classes: Sequence[str], stems: Sequence[str]) -> np.ndarray:
    """Read from a stats.json which classes each of the named images shows: bool [images, C]; raise as below."""
    return read_image_pixels(path, classes, stems) > 0


def read_image_pixels(path: Path, classes: Sequence[str], stems: Sequence[str]) -> np.ndarray:
    """Read from a stats.json the pixels of each class in each of the named images: int64 [images, C].

    Raises UdasegError where it has other classes, lacks an image, or where no image shows any class.
    """
    per_image = _read(path, classes).per_image or {}
    missing = [stem for stem in stems if stem not in per_image]
    if missing:
        raise UdasegError(
            f"{path} does not count {len(missing)} of the {len(stems)} source images, the first is {missing[0]}",
            "count those of the recipe: udaseg data stats",
        )
    pixels_NC = np.array([per_image[stem] for stem in stems], np.int64).reshape(-1, len(classes))
    if not pixels_NC.any():
        raise UdasegError(
            f"{path}: no source image shows any class",
            "check the labels of the source, and which classes are in `space`",
        )
    return pixels_NC


def _read(path: Path, classes: Sequence[str]) -> ClassStatistics:
    hint = "count the classes of the recipe: udaseg data stats"
    statistics = read_document(path, ClassStatistics, hint)
    if statistics is None or statistics.classes != list(classes):
        found = "no file" if statistics is None else f"those of {', '.join(statistics.classes)}"
        raise UdasegError(f"{path}: expected the pixel counts of {', '.join(classes)}; found {found}", hint)
    return statistics


def class_weights(pixels: Sequence[float]) -> list[float]:
    """Return a weight for each of C classes: 1 / (C f_c), with f_c the share of its pixels, and 0 where it has none.

    `pixels` are counts, or shares already.

    Where every class occurs, the mean weight of a pixel is 1 (depth distribution, of SYNTHIA's).
    """
    counts = np.asarray(pixels, np.float64)
    shares = counts / (counts.sum() or 1)
    return np.divide(1, len(counts) * shares, out=np.zeros_like(shares), where=shares > 0).tolist()
