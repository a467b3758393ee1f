"""COCO's panoptic JSON: a PNG of segment ids for each image, and the class of each segment."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.config import HxW
from udaseg.data.convert.coco import is_coco, read_categories
from udaseg.data.convert.regions import AnnotatedImage
from udaseg.data.convert.sources import Annotations, ImageIndex, reading_entry
from udaseg.data.images.read import read_label_pixels
from udaseg.errors import UdasegError, join_names
from udaseg.labels import IGNORE

VOID = 0  # the id of pixels in no segment


def is_panoptic(content: Any) -> bool:
    """Return whether the content of a JSON file is COCO's panoptic one: each annotation lists segments."""
    return is_coco(content) and any(
        isinstance(entry, dict) and "segments_info" in entry for entry in content["annotations"]
    )


def find_masks(file: Path) -> Path:
    """Return the folder of the PNG files, which has the name of the JSON file; raise UdasegError where it is missing.

    Source: COCO, data format, panoptic segmentation.
    """
    folder = file.with_suffix("")
    if not folder.is_dir():
        raise UdasegError(
            f"{file}: expected its PNG files of segments in {folder}, found no such folder",
            f"unpack them there: they come in an archive of their own, such as {folder.name}.zip",
        )
    return folder


def read_panoptic(content: dict[str, Any], file: Path, images: ImageIndex) -> Annotations:
    """Read the names of the classes, in the order of their ids, and the images with their segments.

    Pixels in no segment are ignored. Raises UdasegError for a missing image or PNG file, and an unknown category.
    """
    masks = find_masks(file)
    names = read_categories(content, file)
    by_id = {}
    for entry in content["images"]:
        with reading_entry(file, "COCO", entry):
            by_id[entry["id"]] = (int(entry["height"]), int(entry["width"])), str(entry["file_name"])
    annotated = []
    for entry in content["annotations"]:
        with reading_entry(file, "COCO", entry):
            size, name = by_id[entry["image_id"]]
            classes = {int(segment["id"]): names[int(segment["category_id"])] for segment in entry["segments_info"]}
            draw = partial(_draw_segments, masks / Path(entry["file_name"]).name, classes, size)
            used = frozenset(classes.values())
            annotated.append(AnnotatedImage(images.find(name, file), size, f"{file}: {name}", used, draw))
    return Annotations([names[i] for i in sorted(names)], annotated, has_void=True)


def _draw_segments(mask: Path, classes: Mapping[int, str], size: HxW, ids: Mapping[str, int]) -> np.ndarray:
    """Draw the label of an image from its PNG, whose colours are the ids of segments: red + 256 green + 65536 blue."""
    pixels = read_label_pixels(mask)
    if pixels.shape != (*size, 3) or pixels.dtype != np.uint8:
        found = (
            f"{pixels.shape[0]}x{pixels.shape[1]}, {8 * pixels.itemsize}-bit {'RGB' if pixels.ndim == 3 else 'grey'}"
        )
        raise UdasegError(
            f"{mask}: expected segments as 8-bit RGB of {size[0]}x{size[1]}, found {found}",
            "convert the PNG files as they were published, with their images",
        )
    segments_HW = pixels.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    found, places = np.unique(segments_HW, return_inverse=True)
    if unknown := [i for i in found.tolist() if i != VOID and i not in classes]:
        raise UdasegError(
            f"{mask}: expected the segments of the JSON file, found others: {join_names([str(i) for i in unknown])}",
            "convert the PNG files and the JSON file of one version",
        )
    table = np.array([IGNORE if i == VOID else ids[classes[i]] for i in found.tolist()], np.uint8)
    return table[places].reshape(size)
