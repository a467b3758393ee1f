"""Label Studio's JSON, in full or reduced ("JSON-MIN"): polygons, rectangles, ellipses and brush masks."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from udaseg.config import HxW
from udaseg.data.convert.brush import draw_brush
from udaseg.data.convert.regions import Region, annotate, class_name, draw_polygons, to_points
from udaseg.data.convert.sources import Annotations, ImageIndex, collect, reading_entry
from udaseg.data.datasets.layout import IMAGES
from udaseg.data.images.read import image_size
from udaseg.errors import UdasegError, join_names

SHAPES = ("polygon", "rectangle", "ellipse", "brush")
WITHOUT_AREA = ("keypoint", "vector")
_PREFIX = 9  # characters that Label Studio puts before the name of an uploaded file, as in 1a2b3c4d-car.jpg


class Task(NamedTuple):
    """The annotation of an image: how errors name it, its data, and its results; None where nobody annotated it."""

    source: str
    data: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]] | None


def is_labelstudio(content: Any) -> bool:
    """Return whether the content of a JSON file is Label Studio's: a list of tasks."""
    return isinstance(content, list) and bool(content) and all(map(_is_task, content))


def read_labelstudio(content: list[dict[str, Any]], file: Path, images: ImageIndex) -> Annotations:
    """Read the images with their regions in their order.

    Points and lines are left out, and images without an annotation. Raises UdasegError for a missing image, several
    annotations of one task, a region without a label, and a kind of region that is not known.
    """
    annotated, left_out, unannotated = [], 0, 0
    for entry in content:
        with reading_entry(file, "Label Studio", entry):
            task = _read_task(entry, file)
        if task.results is None:
            unannotated += 1
            continue
        shapes, sizes, regions = list(_read_shapes(task)), set(), []
        for shape in shapes:
            with reading_entry(task.source, "Label Studio", shape["result"]):
                sizes.add((int(shape["original_height"]), int(shape["original_width"])))
                regions += [_region(shape, task.source)] if shape["shape"] in SHAPES else []
        image = _find_image(task.data, file, images)
        if len(sizes) > 1:
            raise UdasegError(
                f"{task.source}: expected one size of the image, found {sorted(sizes)}", "export it again"
            )
        left_out += len(shapes) - len(regions)
        annotated.append(annotate(image, next(iter(sizes), None) or image_size(image), regions, task.source))
    counts = {"points and lines, which have no area": left_out, "images that nobody annotated": unannotated}
    return collect(annotated, counts)


def _is_task(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    if "annotations" in entry:
        return isinstance(entry["annotations"], list) and isinstance(entry.get("data"), dict)
    return "annotator" in entry or "annotation_id" in entry  # of JSON-MIN


def _read_task(entry: dict[str, Any], file: Path) -> Task:
    source = f"{file}: task {entry.get('id', 'without an id')}"
    if "annotations" not in entry:
        lists = [value for value in entry.values() if isinstance(value, list)]
        results = [result for value in lists for result in value if isinstance(result, dict)]
        return Task(source, entry, results)
    done = [one for one in entry["annotations"] if not one.get("was_cancelled")]
    done = [one for one in done if one.get("ground_truth")] or done
    if len(done) > 1:
        raise UdasegError(
            f"{source}: expected one annotation of an image, found {len(done)}",
            "mark the right one as ground truth in Label Studio, or delete the others, and export again",
        )
    return Task(source, entry["data"], list(done[0]["result"]) if done else None)


def _read_shapes(task: Task) -> Iterator[dict[str, Any]]:
    """Yield the regions of a task: their values with their kind as `shape`, label as `name` and entry as `result`.

    A region is one result, or several of the same id: its shape, and its label.
    """
    assert task.results is not None
    merged: dict[Any, dict[str, Any]] = {}
    for i, result in enumerate(task.results):
        with reading_entry(task.source, "Label Studio", result):
            values = {**result, **result.get("value", {})}
            region = merged.setdefault(result.get("id", i), {"names": [], "result": result})
            names = [class_name(name) for name in _labels(values)]
            region.update(values | _shape(values, task), names=region["names"] or names)
    for values in merged.values():
        if "shape" not in values:
            continue  # a choice, a text or a rating: they say something of the whole image
        if len(values["names"]) != 1:
            found = join_names(values["names"]) or "none"
            raise UdasegError(
                f"{task.source}: expected one label for each region, found {found} for a {values['shape']}",
                "label the region in Label Studio, or delete it, and export again",
            )
        if values.get("image_rotation"):
            raise UdasegError(
                f"{task.source}: expected an upright image, found one turned by {values['image_rotation']} degrees",
                "turn the image file, and annotate it again",
            )
        yield {**values, "name": values["names"][0]}


def _shape(values: Mapping[str, Any], task: Task) -> dict[str, str]:
    """Return the kind of a region as `shape`; {} where a result is none, or has the label alone."""
    kind = next((key for key in values if key.endswith("labels") and key != "labels"), values.get("type") or "")
    kind = kind.removesuffix("labels")
    if kind in (*SHAPES, *WITHOUT_AREA):
        return {"shape": kind}
    if kind and any(key == f"{kind}labels" for key in values):
        raise UdasegError(
            f"{task.source}: expected regions of {join_names([*SHAPES])}, found {kind}",
            "annotate with brushes or polygons",
        )
    return {}


def _labels(values: Mapping[str, Any]) -> list[Any]:
    return next((value for key, value in values.items() if key.endswith("labels") and isinstance(value, list)), [])


def _region(shape: Mapping[str, Any], source: str) -> Region:
    height, width = int(shape["original_height"]), int(shape["original_width"])
    if shape["shape"] == "brush":
        return Region(shape["name"], partial(_draw_brush, shape["rle"], source))
    if shape["shape"] == "polygon":
        points = np.array(to_points(shape["points"]))
    elif shape["shape"] == "rectangle":
        corner, sides = (shape["x"], shape["y"]), np.array([shape["width"], shape["height"]])
        points = corner + np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * sides
    else:
        corner, turns = (shape["x"], shape["y"]), np.linspace(0, 2 * np.pi, 360, endpoint=False)
        points = corner + np.stack([np.cos(turns) * shape["radiusX"], np.sin(turns) * shape["radiusY"]], axis=-1)
    points = points * (width / 100, height / 100)  # per cent of the image
    if shape["shape"] != "polygon":
        angle = np.deg2rad(float(shape.get("rotation") or 0))  # clockwise, about the corner or the centre
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = np.array(corner) * (width / 100, height / 100)
        points = (points - centre) @ turn + centre
    return Region(shape["name"], partial(draw_polygons, [to_points(points)]))


def _draw_brush(code: Any, source: str, size: HxW) -> np.ndarray:
    try:
        return draw_brush(code, size)
    except (TypeError, ValueError) as error:
        raise UdasegError(f"{source}: cannot draw a brush mask: {error}", "export it again") from None


def _find_image(data: Mapping[str, Any], file: Path, images: ImageIndex) -> Path:
    """Find the image of a task; its data name it by an address, which may have a prefix of Label Studio."""
    texts = {key: _file_name(value) for key, value in data.items() if isinstance(value, str)}
    named = {key: name for key, name in texts.items() if PurePosixPath(name).suffix.lower() in IMAGES}
    if "image" in named:
        named = {"image": named["image"]}
    if len(named) != 1:
        found = join_names([f"{key}: {name}" for key, name in named.items()]) or "none"
        raise UdasegError(f"{file}: expected the name of one image in each task, found {found}", "export it again")
    (name,) = named.values()
    path = PurePosixPath(name)
    without_prefix = str(path.with_name(path.name[_PREFIX:])) if path.name[_PREFIX - 1 : _PREFIX] == "-" else name
    return images.find(name if name in images or without_prefix not in images else without_prefix, file)


def _file_name(address: str) -> str:
    """Return the path of the file that an address names, such as /data/local-files/?d=seq1/car.jpg."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path)
