"""COCO's JSON: polygons and run-length codes of images, as COCO, CVAT, Roboflow and Label Studio export it."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.config import HxW
from udaseg.data.convert.regions import Region, annotate, class_name, draw_polygons, draw_runs, to_points
from udaseg.data.convert.sources import DAMAGE, Annotations, ImageIndex, reading_entry, shorten
from udaseg.errors import UdasegError


def is_coco(content: Any) -> bool:
    """Return whether the content of a JSON file is COCO's."""
    parts = ("images", "annotations", "categories")
    return isinstance(content, dict) and all(isinstance(content.get(part), list) for part in parts)


def read_categories(content: dict[str, Any], file: Path) -> dict[int, str]:
    """Read the names of the classes by their ids."""
    names = {}
    for entry in content["categories"]:
        with reading_entry(file, "COCO", entry):
            names[int(entry["id"])] = class_name(entry["name"])
    return names


def read_coco(content: dict[str, Any], file: Path, images: ImageIndex) -> Annotations:
    """Read the names of the classes, in the order of their ids, and the images with their regions.

    Larger regions come first, so that smaller ones are drawn over them. Raises UdasegError for a missing image, an
    unknown category, a damaged entry, and where no annotation is a region.
    """
    names = read_categories(content, file)
    by_image, boxes = defaultdict(list), 0  # regions with their areas, by the ids of images
    for entry in content["annotations"]:
        with reading_entry(file, "COCO", entry):
            region, area = _region(entry, names, str(file)), float(entry.get("area") or 0)
            by_image[entry["image_id"]] += [(area, region)] if region else []
            boxes += region is None
    annotated = []
    for entry in content["images"]:
        with reading_entry(file, "COCO", entry):
            size, name = (int(entry["height"]), int(entry["width"])), str(entry["file_name"])
            ordered = sorted(by_image.pop(entry["id"], []), key=lambda item: -item[0])
            regions = [region for _, region in ordered]
            annotated.append(annotate(images.find(name, file), size, regions, f"{file}: {name}"))
    if boxes and not any(image.names for image in annotated):
        raise UdasegError(
            f"{file}: expected polygons or run-length codes, found {boxes} annotations without either, such as boxes",
            "export the annotations as segmentations; boxes cannot be drawn as labels",
        )
    others = sum(map(len, by_image.values()))
    left_out = {
        f"{boxes} annotations without polygon or run-length code, such as boxes": boxes,
        f"{others} annotations of images that are not in the file": others,
    }
    return Annotations([names[i] for i in sorted(names)], annotated, [text for text, n in left_out.items() if n])


def _region(entry: dict[str, Any], names: dict[int, str], source: str) -> Region | None:
    shape, name = entry.get("segmentation"), names[int(entry["category_id"])]
    if isinstance(shape, dict):
        return Region(name, partial(_draw_code, shape, source))
    polygons = [to_points(np.reshape(flat, (-1, 2))) for flat in shape or [] if len(flat) >= 6]
    return Region(name, partial(draw_polygons, polygons)) if polygons else None


def _draw_code(shape: dict[str, Any], source: str, size: HxW) -> np.ndarray:
    try:
        if tuple(shape["size"]) == size:
            return draw_runs(shape["counts"], size)
    except DAMAGE:
        pass
    raise UdasegError(
        f"{source}: expected a run-length code that fills an image of {size[0]}x{size[1]}, found {shorten(shape)}",
        "export it again with COCO",
    )
