"""COCO's JSON: polygons and run-length codes of images, as COCO, CVAT, Roboflow and Label Studio export it."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.config import HxW
from udaseg.data.convert.regions import Region, annotate, draw_polygons, draw_runs, to_points
from udaseg.data.convert.sources import DAMAGE, Annotations, ImageIndex, damaged_entry
from udaseg.errors import UdasegError


def is_coco(content: Any) -> bool:
    """Return whether the content of a JSON file is COCO's."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(content: dict[str, Any], file: Path, images: ImageIndex) -> Annotations:
    """Read the names of the classes, in the order of their ids, and the images with their regions.

    Larger regions come first, so that smaller ones are drawn over them. Raises UdasegError for a missing image, an
    unknown category, a damaged entry, and where no annotation is a region.
    """
    try:
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        by_image = defaultdict(list)
        for entry in content["annotations"]:
            by_image[entry["image_id"]].append(entry)
        annotated, boxes = [], 0
        for entry in content["images"]:
            size, source = (int(entry["height"]), int(entry["width"])), f"{file}: {entry['file_name']}"
            ordered = sorted(by_image.pop(entry["id"], []), key=lambda item: -float(item.get("area") or 0))
            regions = [_region(item, names, source) for item in ordered]
            present = [region for region in regions if region is not None]
            boxes += len(regions) - len(present)
            annotated.append(annotate(images.find(str(entry["file_name"]), file), size, present, source))
    except DAMAGE as error:
        raise damaged_entry(file, "COCO", error) from None
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
    shape, name = entry.get("segmentation"), names[entry["category_id"]]
    if isinstance(shape, dict):
        return Region(name, partial(_draw_code, shape, source))
    polygons = [to_points(np.reshape(flat, (-1, 2))) for flat in shape or [] if len(flat) >= 6]
    return Region(name, partial(draw_polygons, polygons)) if polygons else None


def _draw_code(shape: dict[str, Any], source: str, size: HxW) -> np.ndarray:
    try:
        if tuple(shape["size"]) != size:
            raise ValueError(f"a region of {shape['size']} in an image of {list(size)}")
        return draw_runs(shape["counts"], size)
    except DAMAGE as error:
        raise UdasegError(f"{source}: cannot draw a run-length code: {error}", "export it again") from None
