"""Random changes of training images: geometry, the same for the image and its label, and colours."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow

from udaseg.config import Augment
from udaseg.data.video.warp import mirror_flow, resize_flow
from udaseg.labels import IGNORE

# From a label and the size of a crop to the crop's top left corner, or None for a random one.
FindCorner = Callable[[np.ndarray, tuple[int, int]], tuple[int, int] | None]
# The places of crops by their position in the training: shares of the way down and to the right, as in `corner_at`.
Places = dict[int, tuple[float, float]]
Margins = tuple[float, float, float, float]  # shares of an image at its top, bottom, left and right
# From an image uint8 [H, W, 3] to the same in another style.
Restyle = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Before(NamedTuple):
    """The frame before an image, of the same size, and the optical flow to it."""

    image: np.ndarray  # uint8 [H, W, 3], RGB
    flow: np.ndarray  # float32 [2, H, W], pixels to the right and down; NaN where it is not valid

    def resize(self, size: tuple[int, int]) -> "Before":
        return Before(resize(self.image, size), resize_flow(self.flow, size))

    def mirror(self) -> "Before":
        return Before(self.image[:, ::-1], mirror_flow(self.flow))

    def crop(self, rows: slice, columns: slice, missing: tuple[int, int]) -> "Before":
        """Cut both frames at one place; `missing` rows and columns are added below and at the right."""
        image_HWC, flow_2HW = self.image[rows, columns], self.flow[:, rows, columns]
        if any(missing):
            below, right = ((0, count) for count in missing)
            image_HWC = np.pad(image_HWC, (below, right, (0, 0)))
            flow_2HW = np.pad(flow_2HW, ((0, 0), below, right), constant_values=np.nan)
        return Before(image_HWC, flow_2HW)


class Pair(NamedTuple):
    """An image with its label, and masks and maps of the same size."""

    image: np.ndarray  # uint8 [H, W, 3], RGB
    label: np.ndarray  # uint8 [H, W], train ids, 255 ignored
    valid: np.ndarray | None = None  # bool [H, W], false outside the image; None where it fills the array
    depth: np.ndarray | None = None  # inverse depth, float32 [H, W], 0 where unknown; None without depth
    trusted: np.ndarray | None = None  # bool [H, W], false in the margins of the image; None without margins
    before: Before | None = None  # the frame before; None for images that are no frames


def resize(image_HWC: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a uint8 image to (height, width), bicubic with antialiasing."""
    if image_HWC.shape[:2] == tuple(size):
        return image_HWC
    return np.asarray(Pillow.fromarray(image_HWC).resize(size[::-1], Pillow.Resampling.BICUBIC))


def resize_label(label_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ids, a mask or depth to (height, width), nearest."""
    if label_HW.shape == tuple(size):
        return label_HW
    return np.asarray(Pillow.fromarray(label_HW).resize(size[::-1], Pillow.Resampling.NEAREST))


def size_within(shape: tuple[int, ...], canvas: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (height, width) with the aspect of `shape` that fits a canvas (DADA).

    The sides are cut to whole pixels.
    """
    height, width = shape[:2]
    # In whole numbers: the float ratio of DADA loses a row where side * ratio is an integer.
    if height * canvas[1] >= width * canvas[0]:
        return canvas[0], max(1, width * canvas[0] // height)
    return max(1, height * canvas[1] // width), canvas[1]


def fit(pair: Pair, size: tuple[int, int], pad: bool) -> Pair:
    """Resize a pair to (height, width): stretched, or with `pad` at its own aspect in the top left corner.

    Padding is black, its label is 255 and its mask false.
    """
    return _crop(_scaled(pair, size_within(pair.label.shape, size)), size, 0, 0) if pad else _scaled(pair, size)


def _scaled(pair: Pair, size: tuple[int, int]) -> Pair:
    maps = (None if part is None else resize_label(part, size) for part in pair[1:-1])
    return Pair(resize(pair.image, size), *maps, None if pair.before is None else pair.before.resize(size))


def augment(pair: Pair, settings: Augment, rng: np.random.Generator, find_corner: FindCorner | None = None) -> Pair:
    """Scale, crop and flip a pair at random; parts of a crop outside the image are black and ignored.

    `find_corner` may place the crop, from the scaled label. The number of random values does not depend on the
    settings, so that one of them changes nothing else.
    """
    scale, down, right, flip = rng.uniform(*settings.scale), rng.random(), rng.random(), rng.random()
    height, width = (round(side * scale) for side in pair.label.shape)
    pair = _scaled(pair, (height, width))
    if settings.crop is not None:
        corner = find_corner(pair.label, settings.crop) if find_corner is not None else None
        pair = _crop(pair, settings.crop, *(corner or corner_at(pair.label.shape, settings.crop, down, right)))
    if flip < settings.flip:
        parts = (None if part is None else part[:, ::-1] for part in pair[:-1])
        pair = Pair(*parts, None if pair.before is None else pair.before.mirror())
    return pair


def corner_at(shape: tuple[int, ...], size: tuple[int, int], down: float, right: float) -> tuple[int, int]:
    """Return the top left corner of a crop at a place: shares of the way down and to the right, from 0 to below 1."""
    choices = (max(whole - side, 0) + 1 for whole, side in zip(shape, size, strict=True))
    top, left = (int(share * count) for share, count in zip((down, right), choices, strict=True))
    return top, left


def draw_corner(label_HW: np.ndarray, crop: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Return the top left corner (row, column) of a random crop."""
    down, right = rng.random(2)
    return corner_at(label_HW.shape, crop, down, right)


def follow(places: Places, position: int, find_corner: FindCorner) -> FindCorner:
    """Return a function that puts every crop of a position where the first one lies, which `find_corner` places."""

    def follow_first(label_HW: np.ndarray, crop: tuple[int, int]) -> tuple[int, int]:
        if position not in places:
            corner = find_corner(label_HW, crop)
            assert corner is not None, "the first crop of a position has no place of its own"
            choices = (max(whole - side, 0) + 1 for whole, side in zip(label_HW.shape, crop, strict=True))
            down, right = ((first + 0.5) / count for first, count in zip(corner, choices, strict=True))
            places[position] = down, right
        return corner_at(label_HW.shape, crop, *places[position])

    return follow_first


def _crop(pair: Pair, size: tuple[int, int], top: int, left: int) -> Pair:
    height, width = size
    window = slice(top, top + height), slice(left, left + width)
    image, label, valid, depth, trusted = (None if part is None else part[window] for part in pair[:-1])
    missing = (height - label.shape[0], width - label.shape[1])
    if any(missing):
        image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)))
        valid = np.pad(np.ones(label.shape, bool) if valid is None else valid, ((0, missing[0]), (0, missing[1])))
        label = np.pad(label, ((0, missing[0]), (0, missing[1])), constant_values=IGNORE)
        depth, trusted = (
            None if part is None else np.pad(part, ((0, missing[0]), (0, missing[1]))) for part in (depth, trusted)
        )
    before = None if pair.before is None else pair.before.crop(*window, missing)
    return Pair(image, label, valid, depth, trusted, before)


def mark_margins(pair: Pair, margins: Margins) -> Pair:
    """Return a pair whose `trusted` is true inside the margins of its image, and false in its padding."""
    rows, columns = _rectangle(pair)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    top, bottom, left, right = margins
    inside = (
        slice(rows.start + round(top * height), rows.stop - round(bottom * height)),
        slice(columns.start + round(left * width), columns.stop - round(right * width)),
    )
    trusted_HW = np.zeros(pair.label.shape, bool)
    trusted_HW[inside] = True
    return pair._replace(trusted=trusted_HW)


def recolour(pair: Pair, change: Callable[[np.ndarray], np.ndarray]) -> Pair:
    """Change the colours inside the valid rectangle of a pair; the padding around it stays black.

    The black padding must not count for a style or a contrast: the image would become too bright.
    """
    if pair.valid is None:
        return pair._replace(image=change(pair.image))
    if not pair.valid.any():
        return pair
    rectangle = _rectangle(pair)
    image_HWC = np.zeros_like(pair.image)
    image_HWC[rectangle] = change(pair.image[rectangle])
    return pair._replace(image=image_HWC)


def _rectangle(pair: Pair) -> tuple[slice, slice]:
    """Return the rows and columns of a pair that hold its image, all or some of the array."""
    if pair.valid is None:
        return slice(0, pair.label.shape[0]), slice(0, pair.label.shape[1])
    rows, columns = (np.flatnonzero(pair.valid.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def distort(image_HWC: np.ndarray, settings: Augment, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, saturation and hue at random, then blur at random: uint8 [H, W, 3]."""
    changes, blur, sigma = rng.uniform(-1.0, 1.0, 4), rng.random(), rng.uniform(0.15, 1.15)
    if settings.jitter > 0.0:
        image_HWC = _jitter(image_HWC, changes * settings.jitter)
    if blur < settings.blur:
        from PIL import ImageFilter

        image_HWC = np.asarray(Pillow.fromarray(image_HWC).filter(ImageFilter.GaussianBlur(sigma)))
    return image_HWC


# Rec. 601 luma; the rotation of the hue is one around the grey axis in RGB.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _jitter(image_HWC: np.ndarray, changes: np.ndarray) -> np.ndarray:
    brightness, contrast, saturation, hue = changes
    angle = hue * np.pi / 2
    axis = np.full((3, 3), (1 - np.cos(angle)) / 3, dtype=np.float32)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=np.float32) * np.sin(angle) / np.sqrt(3)
    rotate = axis + np.eye(3, dtype=np.float32) * np.cos(angle) + cross
    grey = np.outer(np.ones(3, dtype=np.float32), _LUMA)
    saturate = (1 + saturation) * np.eye(3) - saturation * grey
    # All four are affine in RGB, so one 3x3 product and one shift apply them at once.
    matrix = ((1 + contrast) * (1 + brightness) * (saturate @ rotate)).astype(np.float32)
    mean = float((image_HWC.reshape(-1, 3).mean(axis=0) @ _LUMA) * (1 + brightness))
    out = image_HWC.reshape(-1, 3).astype(np.float32) @ matrix.T
    out -= np.float32(contrast * mean)
    return np.clip(np.rint(out, out=out), 0, 255, out=out).astype(np.uint8).reshape(image_HWC.shape)
