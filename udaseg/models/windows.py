"""Sliding windows: a network sees an image window by window, and its maps are averaged where windows overlap.

The average is taken on a grid that spans the whole image and is as fine as the map of a window. A window may begin at
any pixel: its map is sampled bilinearly at the positions of the grid. Where windows begin at multiples of the network's
stride, these are the positions of its own values, which then enter as they are.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from udaseg.config import HxW
from udaseg.models.devices import send


class Box(NamedTuple):
    """A rectangle of an image or of a map, in its rows and columns."""

    top: int
    left: int
    height: int
    width: int

    def crop(self, image: Tensor) -> Tensor:
        """Return the rectangle of an image, label or map [..., H, W]."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def divided(self, stride: int) -> "Box":
        """Return the rectangle in the rows and columns of a map with this stride."""
        return Box(*(side // stride for side in self))


class Taps(NamedTuple):
    """Where a window lies on one axis of the grid: its first position, and for each position two cells and a weight."""

    first: int
    low: list[int]  # cells of the window's map
    high: list[int]
    high_weight: list[float]  # that of `low` is the rest to 1


def split_image(size: HxW, window: HxW | None, stride: HxW | None = None) -> list[Box]:
    """Return the windows that cover an image of (height, width); a single one without a `window`.

    Windows begin at multiples of the stride, by default half a window; the last ones are moved back to fit. Where an
    image is smaller than the window, a window has the image's own side.
    """
    if window is None:
        return [Box(0, 0, *size)]
    height, width = (min(pair) for pair in zip(size, window, strict=True))
    rows, columns = stride or half(window)
    tops, lefts = _starts(size[0], height, rows), _starts(size[1], width, columns)
    return [Box(top, left, height, width) for top, left in product(tops, lefts)]


def half(window: HxW) -> HxW:
    """Return the default stride of windows: half a window, rounded up."""
    return (window[0] + 1) // 2, (window[1] + 1) // 2


def _starts(side: int, window: int, stride: int) -> list[int]:
    return [*range(0, side - window, stride), side - window]


def average_windows(
    maps: Iterable[Sequence[Tensor]], boxes: Sequence[Box], size: HxW, align_corners: bool
) -> list[Tensor]:
    """Average the maps of windows by the number of windows at each position: float32 [N, D, h, w] each.

    `boxes` are the windows from `split_image` in an image of (height, width). `maps` holds the maps of each, float
    [N, D, h', w'], the same number for every window. A single window has its maps unchanged. `align_corners` says how
    the maps span a window.
    """
    if len(boxes) == 1:
        return list(next(iter(maps)))
    totals, counts = list[Tensor](), list[Tensor]()
    for box, of_window in zip(boxes, maps, strict=True):
        for i, map_NDhw in enumerate(of_window):
            placed, count = _place(map_NDhw.float(), box, size, align_corners)
            if i == len(totals):
                totals.append(torch.zeros_like(placed))
                counts.append(torch.zeros_like(count))
            totals[i] += placed
            counts[i] += count
    return [total / count for total, count in zip(totals, counts, strict=True)]


def infer_windows(
    infer: Callable[[Tensor], Tensor], image_N3HW: Tensor, boxes: Sequence[Box], align_corners: bool
) -> Tensor:
    """Compute the logits of all windows in one batch, and average them: float32 [N, C, h, w].

    `infer` returns the logits of images. One batch is faster than one window after another, and takes the memory of all
    windows.
    """
    if len(boxes) == 1:
        return infer(image_N3HW)
    logits_BChw = infer(torch.cat([box.crop(image_N3HW) for box in boxes]))
    maps = [[logits_NChw] for logits_NChw in logits_BChw.split(len(image_N3HW))]
    return average_windows(maps, boxes, image_N3HW.shape[-2:], align_corners)[0]


def _place(map_NDhw: Tensor, box: Box, size: HxW, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Return a window's map on the grid of the whole image, 0 outside the window, and where it is there: 1 or 0."""
    height, width = map_NDhw.shape[-2:]
    grid = (
        grid_side(height, box.height, size[0], align_corners),
        grid_side(width, box.width, size[1], align_corners),
    )
    rows = _taps(height, box.top, box.height, grid[0], size[0], align_corners)
    columns = _taps(width, box.left, box.width, grid[1], size[1], align_corners)
    sampled_NDhw = _sample(map_NDhw, rows, -2)
    sampled_NDhw = _sample(sampled_NDhw, columns, -1)
    below, right = grid[0] - rows.first - len(rows.low), grid[1] - columns.first - len(columns.low)
    margins = (columns.first, right, rows.first, below)
    return pad(sampled_NDhw, margins), pad(torch.ones_like(sampled_NDhw[:1, :1]), margins)


def grid_side(cells: int, window: int, side: int, align_corners: bool) -> int:
    """Return the cells of a grid over `side` pixels that is as fine as `cells` over a window."""
    if align_corners:
        return 1 + round((side - 1) * (cells - 1) / (window - 1))
    return -(-side * cells // window)


def _taps(cells: int, start: int, window: int, grid: int, side: int, align_corners: bool) -> Taps:
    """Return where the grid's positions lie in the map of a window; `grid` and `cells` are the counts of both."""
    position = np.arange(grid)
    if align_corners:
        pixel = position * (side - 1) / max(1, grid - 1) - start
        cell = pixel * (cells - 1) / (window - 1)
    else:
        pixel = (position + 0.5) * side / grid - 0.5 - start
        cell = (pixel + 0.5) * cells / window - 0.5
    (inside,) = np.nonzero((pixel >= -0.5) & (pixel <= window - 0.5))
    cell = cell[inside].clip(0, cells - 1)
    low = cell.astype(int)
    return Taps(int(inside[0]), low.tolist(), (low + 1).clip(max=cells - 1).tolist(), (cell - low).tolist())


def _sample(map_NDhw: Tensor, taps: Taps, axis: int) -> Tensor:
    """Interpolate a map linearly along one axis, -2 for rows or -1 for columns."""
    if not any(taps.high_weight) and len(taps.low) == map_NDhw.shape[axis]:  # the grid has the cells of the map
        return map_NDhw
    device = map_NDhw.device
    low, high = (map_NDhw.index_select(axis, send(torch.tensor(cells), device)) for cells in (taps.low, taps.high))
    weight = send(torch.tensor(taps.high_weight), device)
    return torch.lerp(low, high, weight[:, None] if axis == -2 else weight)
