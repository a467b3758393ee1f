"""Regions of annotations drawn as masks: polygons, circles, run-length codes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from udaseg.config import HxW


@dataclass(frozen=True)
class Region:
    """A region of one class; `draw(size)` returns its mask: bool [H, W]."""

    name: str
    draw: Callable[[HxW], np.ndarray]


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file with its (height, width) and its label; `source` names it in errors.

    `names` are the classes of its regions. `draw` turns the ids of classes into the label: uint8 [H, W].
    """

    image: Path
    size: HxW
    source: str
    names: frozenset[str]
    draw: Callable[[Mapping[str, int]], np.ndarray]


def annotate(image: Path, size: HxW, regions: Sequence[Region], source: str) -> AnnotatedImage:
    """Describe an image by its regions, the last ones on top; pixels in no region get the id 0."""
    names = frozenset(region.name for region in regions)
    return AnnotatedImage(image, size, source, names, partial(_draw_regions, tuple(regions), size))


def _draw_regions(regions: Sequence[Region], size: HxW, ids: Mapping[str, int]) -> np.ndarray:
    label = np.zeros(size, np.uint8)
    for region in regions:
        label[region.draw(size)] = ids[region.name]
    return label


def class_name(value: Any) -> str:
    """Return the name of a class; raise ValueError where there is none."""
    if value is None or not str(value).strip():
        raise ValueError("a class without a name")
    return str(value)


def to_points(values: ArrayLike) -> list[tuple[float, float]]:
    """Return points (x, y) as numbers; raise ValueError where they are none, or not finite."""
    points = np.asarray(values, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a point that is not finite")
    return [(float(x), float(y)) for x, y in points]


def draw_polygons(polygons: Sequence[Sequence[tuple[float, float]]], size: HxW) -> np.ndarray:
    """Draw the union of polygons of points (x, y): bool [H, W], true where a pixel's centre is within one.

    Pixel (0, 0) covers 0 to 1 on both axes. Within one polygon the even-odd rule holds.
    """
    mask = np.zeros(size, bool)
    for points in polygons:
        x, y = np.asarray(points, np.float64).T
        next_x, next_y = np.roll(x, -1), np.roll(y, -1)
        inside = np.zeros(size, bool)
        for row in range(max(0, int(np.floor(y.min()))), min(size[0], int(np.ceil(y.max())))):
            centre = row + 0.5
            crosses = (y <= centre) != (next_y <= centre)
            slope = (next_x[crosses] - x[crosses]) / (next_y[crosses] - y[crosses])
            edges = np.ceil(np.sort(x[crosses] + (centre - y[crosses]) * slope) - 0.5).astype(int)
            for start, end in edges.clip(0, size[1]).reshape(-1, 2):
                inside[row, start:end] = True
        mask |= inside
    return mask


def draw_circle(centre: tuple[float, float], edge: tuple[float, float], size: HxW) -> np.ndarray:
    """Draw a circle through the point `edge`: bool [H, W], true where a pixel's centre is within it."""
    y, x = np.ogrid[: size[0], : size[1]]
    radius = np.hypot(edge[0] - centre[0], edge[1] - centre[1])
    return np.hypot(x + 0.5 - centre[0], y + 0.5 - centre[1]) <= radius


def draw_runs(counts: Sequence[int] | str, size: HxW) -> np.ndarray:
    """Draw a run-length code of COCO, plain or compressed: bool [H, W].

    Runs go down the columns, and begin with one of false. Raises ValueError where they do not fill the image.
    """
    runs = np.asarray(_decompress(counts) if isinstance(counts, str) else counts, np.int64)
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(f"runs of {int(runs.sum())} pixels for an image of {size[0]}x{size[1]}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[1], size[0]).T


def _decompress(text: str) -> list[int]:
    """Decode the counts of a compressed code: 5 bits a character, the lowest first, differences after the third.

    Source: COCO API, maskApi.c, rleFrString.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits >> 4 & 1) << shift  # the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
