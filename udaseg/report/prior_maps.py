"""The spatial prior of a run: an image of each class's map."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from udaseg.report.image_panels import data_uri
from udaseg.statistics.spatial_prior import Prior

LONGEST = 192  # pixels of the longer side; the maps are smooth
INK = (31, 92, 153)  # the page's own blue, which it lightens on dark paper
STEPS = 64  # of the ink's strength: enough for the eye, in a third of the bytes


@dataclass(frozen=True)
class PriorMap:
    """Where one class is in the source's images. `image` is a data URI, transparent where the class never is."""

    name: str
    image: str | None  # None where the source does not have the class
    peak: float | None  # the largest value of the map, in means of the map


def prior_maps(prior: Prior) -> tuple[PriorMap, ...]:
    """Draw the map of each class of a spatial prior."""
    return tuple(_draw(name, map_HW) for name, map_HW in zip(prior.classes, prior.maps.astype(np.float64), strict=True))


def _draw(name: str, map_HW: np.ndarray) -> PriorMap:
    peak = map_HW.max()
    if peak == 0:
        return PriorMap(name, None, None)
    strength = Image.fromarray((map_HW / peak).astype(np.float32))
    scale = min(1.0, LONGEST / max(strength.size))
    small = strength.resize([max(1, round(side * scale)) for side in strength.size], Image.Resampling.BOX)
    levels = np.rint(np.asarray(small) * (STEPS - 1)).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(INK * STEPS)
    stream = io.BytesIO()
    opacity = bytes(round(255 * level / (STEPS - 1)) for level in range(STEPS))
    image.save(stream, "PNG", optimize=True, transparency=opacity)
    return PriorMap(name, data_uri(stream.getvalue(), "png"), float(peak / map_HW.mean()))
