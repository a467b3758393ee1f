"""The spatial prior of a run: an image of each class's map."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.errors import UdasegError
from udaseg.report.panels import data_uri

LONGEST = 192  # pixels of the longer side; the maps are smooth
INK = (31, 92, 153)  # the page's own blue, which it lightens on dark paper
STEPS = 64  # of the ink's strength: what the eye tells apart, in a third of the bytes


@dataclass(frozen=True)
class PriorMap:
    """Where one class stands in the source. `image` is a data URI, transparent where the class never stands."""

    name: str
    image: str | None  # None where the source does not have the class
    peak: float | None  # the largest value of the map, in means of the map


def read_priors(path: Path) -> tuple[PriorMap, ...]:
    """Read `prior.h5`. Raises UdasegError where it is missing, is no HDF5 file, or its maps do not fit its classes."""
    from udaseg.io import hdf5

    again = f"remove {path.parent} and run the stage again"
    with hdf5.reading(path, "a spatial prior", again), hdf5.opened(path) as file:
        classes, maps_CHW = hdf5.names(file.attrs, "classes"), hdf5.array(file, "prior").astype(np.float64)
    if maps_CHW.ndim != 3 or len(maps_CHW) != len(classes) or not maps_CHW.size:
        raise UdasegError(
            f"{path}: expected prior [C, h, w] of {len(classes)} classes, found {list(maps_CHW.shape)}", again
        )
    if not np.isfinite(maps_CHW).all() or (maps_CHW < 0).any():
        raise UdasegError(f"{path}: prior should hold finite numbers of at least 0", again)
    return tuple(_shown(name, map_HW) for name, map_HW in zip(classes, maps_CHW, strict=True))


def _shown(name: str, map_HW: np.ndarray) -> PriorMap:
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
