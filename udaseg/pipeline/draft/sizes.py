"""The sizes at which a network sees two domains, and the crops that it trains on."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from udaseg.config import HxW
from udaseg.config.fields import SHORTEST
from udaseg.data.image_sets import have_same_aspect
from udaseg.errors import UdasegError

STEP = 16  # pixels that heights and widths are multiples of; crops of twice as many
_ASPECT = 10.0  # how much more an error of the aspect weighs than one of the area
_STRETCH = 1.03  # an aspect that differs by less than this factor is stretched and not padded
WILD = 16.0  # times as many pixels as the smallest image


class Fitted(NamedTuple):
    """The size of a domain in training, the commonest size on disk, and whether other aspects are padded."""

    size: HxW
    own: HxW
    pad: bool
    others: int  # of the images that were looked at, those of another size
    ratio: float  # of the pixels of the largest and the smallest image


def fit_size(sizes: Mapping[HxW, int], area: int, place: str) -> Fitted:
    """Fit a size with about this many pixels to the commonest aspect of images; small images keep their size.

    `sizes` counts images by (height, width); `place` names them in errors. Raises UdasegError where the commonest size
    is too small for a network.
    """
    aspects: dict[HxW, int] = {}
    for size, count in sizes.items():
        alike = next((one for one in aspects if _is_close(one, size)), size)
        aspects[alike] = aspects.get(alike, 0) + count
    commonest = max(aspects, key=lambda one: aspects[one])
    own = max((one for one in sizes if _is_close(commonest, one)), key=lambda one: (sizes[one], one))
    if min(own) < SHORTEST:
        raise UdasegError(
            f"{place}: expected images of {SHORTEST}x{SHORTEST} pixels or more, found {own[0]}x{own[1]}",
            "use images of at least 128x256: a network sees little in smaller ones",
        )
    size = own if math.prod(own) <= area else _near(own, area)
    pixels = [math.prod(one) for one in sizes]
    return Fitted(size, own, len(aspects) > 1, sum(sizes.values()) - sizes[own], max(pixels) / min(pixels))


def fit_crop(sizes: tuple[HxW, HxW], wanted: HxW | None = None) -> HxW:
    """Return the crop for images of two sizes: `wanted` where it fits, else the largest multiple of 32 that does.

    Without `wanted`: three quarters of the height, and twice as wide where the images are, as in the toy recipes.
    """
    height, width = (min(size[i] for size in sizes) for i in (0, 1))
    unit = 2 * STEP
    if wanted is not None:
        return _down(min(height, wanted[0]), unit), _down(min(width, wanted[1]), unit)
    crop = _down(3 * height // 4, unit)
    return crop, min(_down(width, unit), 2 * crop)


def _near(own: HxW, area: int) -> HxW:
    """Return the multiples of 16 whose aspect and area come closest."""
    aspect, most = own[1] / own[0], math.isqrt(area) * 4 // STEP

    def distance(size: HxW) -> float:
        return _ASPECT * abs(math.log(size[1] / size[0] / aspect)) + abs(math.log(math.prod(size) / area))

    sides = range(2 * STEP, most * STEP + 1, STEP)
    return min(((height, width) for height in sides for width in sides), key=distance)


def _down(length: int, unit: int) -> int:
    return max(unit, length // unit * unit)


def _is_close(one: HxW, other: HxW) -> bool:
    stretch = one[0] * other[1] / (one[1] * other[0])
    return have_same_aspect(one, other) or max(stretch, 1 / stretch) <= _STRETCH
