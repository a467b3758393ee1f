"""Labelme's JSON, a file for each image: polygons, rectangles, circles and masks."""

import base64
import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from udaseg.config import HxW
from udaseg.data.convert.regions import (
    AnnotatedImage,
    Region,
    annotate,
    class_name,
    draw_circle,
    draw_polygons,
    to_points,
)
from udaseg.data.convert.sources import ImageIndex, reading_entry
from udaseg.data.images.read import name_file


def is_labelme(content: Any) -> bool:
    """Return whether the content of a JSON file is Labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read_labelme(content: dict[str, Any], file: Path, images: ImageIndex) -> tuple[AnnotatedImage, int]:
    """Read an image with its regions in their order; also return how many points and lines are left out.

    Raises UdasegError for a missing image and a damaged file.
    """
    sides = {key: content.get(key) for key in ("imageHeight", "imageWidth")}
    with reading_entry(file, "Labelme", sides):
        size = int(sides["imageHeight"]), int(sides["imageWidth"])
    regions = []
    for shape in content["shapes"]:
        with reading_entry(file, "Labelme", shape):
            regions.append(_region(shape, file))
    image = images.find(str(content["imagePath"]), file)
    present = [region for region in regions if region is not None]
    return annotate(image, size, present, str(file)), len(regions) - len(present)


def _region(shape: dict[str, Any], file: Path) -> Region | None:
    name, kind = class_name(shape["label"]), shape.get("shape_type") or "polygon"
    points = to_points(shape["points"])
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if kind in ("polygon", "rectangle", "oriented_rectangle") and len(points) > 2:
        return Region(name, partial(draw_polygons, [points]))
    if kind == "circle":
        return Region(name, partial(draw_circle, points[0], points[1]))
    if kind == "mask":
        return Region(name, partial(_draw_mask, base64.b64decode(shape["mask"]), points[0], file))
    return None


def _draw_mask(data: bytes, corner: tuple[float, float], file: Path, size: HxW) -> np.ndarray:
    """Draw a PNG whose upper left pixel lies at the corner: bool [H, W]."""
    with name_file(file, "a PNG as the mask of a shape"), Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        part = np.array(image.convert("L")) > 0
    mask = np.zeros(size, bool)
    left, top = (max(0, round(value)) for value in corner)
    height, width = min(part.shape[0], size[0] - top), min(part.shape[1], size[1] - left)
    mask[top : top + height, left : left + width] = part[: max(0, height), : max(0, width)]
    return mask
