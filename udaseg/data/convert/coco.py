"""COCO's JSON: polygons and run-length codes of images, as COCO, CVAT, Roboflow and Label Studio export it."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from udaseg.data.convert.regions import AnnotatedImage, Region, annotate, draw_polygons, draw_runs
from udaseg.data.convert.sources import ImageIndex
from udaseg.errors import UdasegError


def is_coco(content: Any) -> bool:
    """Return whether the content of a JSON file is COCO's."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(content: dict[str, Any], file: Path, images: ImageIndex) -> tuple[list[str], list[AnnotatedImage]]:
    """Read the names of the classes, in the order of their ids, and the images with their regions.

    Larger regions come first, so that smaller ones are drawn over them. Raises UdasegError for a missing image, an
    unknown category, and a region that is no polygon and no run-length code.
    """
    try:
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        annotations = defaultdict(list)
        for entry in content["annotations"]:
            annotations[entry["image_id"]].append(entry)
        annotated = []
        for entry in content["images"]:
            size, source = (int(entry["height"]), int(entry["width"])), f"{file}: {entry['file_name']}"
            ordered = sorted(annotations[entry["id"]], key=lambda item: -float(item.get("area") or 0))
            regions = [_region(item, names, source) for item in ordered]
            present = [region for region in regions if region is not None]
            annotated.append(annotate(images.find(entry["file_name"], file), size, present, source))
    except (KeyError, TypeError, ValueError) as error:
        raise UdasegError(
            f"{file}: expected annotations of COCO, found a damaged entry: {error!r}", "export it again"
        ) from None
    return [names[i] for i in sorted(names)], annotated


def _region(entry: dict[str, Any], names: dict[int, str], source: str) -> Region | None:
    shape, name = entry.get("segmentation"), names[entry["category_id"]]
    if isinstance(shape, dict):
        return Region(name, partial(_draw_code, shape, source))
    polygons = [list(zip(flat[::2], flat[1::2], strict=True)) for flat in shape or [] if len(flat) >= 6]
    if polygons:
        return Region(name, partial(draw_polygons, polygons))
    return None


def _draw_code(shape: dict[str, Any], source: str, size: tuple[int, int]):
    try:
        if tuple(shape["size"]) != size:
            raise ValueError(f"a region of {shape['size']} in an image of {list(size)}")
        return draw_runs(shape["counts"], size)
    except (KeyError, TypeError, ValueError) as error:
        raise UdasegError(f"{source}: cannot draw a run-length code: {error}", "export it again") from None
