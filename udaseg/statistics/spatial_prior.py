"""Spatial priors: how often each class is at each position of the source's images (CBST-SP).

Pixels are counted at the full size of the target's labels, by cells of a grid: after smoothing, no detail is finer than
a cell. Counts of two parts of the source add up to those of the whole.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from udaseg import config
from udaseg.config import HxW
from udaseg.data.augment import resize_label
from udaseg.data.image_sets import LabelledSet
from udaseg.errors import UdasegError
from udaseg.io import hdf5
from udaseg.parallel.threads import Progress, map_in_order, with_progress

_RERUN = "write it again with `udaseg prior --force`"
_REFERENCE_SIZE = (1024, 2048)  # the size to which kernel and sigma refer


@dataclass(frozen=True, eq=False)
class Prior:
    """A map for each class, float32 [C, h, w], at least 0; all 0 for a class that the source does not have."""

    maps: np.ndarray
    classes: tuple[str, ...]

    def relative(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each map divided by its largest value, float32 [C, h, w], and these values, float32 [C]."""
        peaks = self.maps.max((1, 2))
        return self.maps / np.where(peaks > 0, peaks, 1)[:, None, None], peaks


@njit(cache=True, nogil=True)
def _count(label_HW, stride, counts_CHW):
    for y in range(label_HW.shape[0]):
        counts = counts_CHW[:, y // stride]
        for x in range(label_HW.shape[1]):
            if label_HW[y, x] < counts.shape[0]:
                counts[label_HW[y, x], x // stride] += 1


class PositionCounts:
    """The pixel counts of each class in each cell of a grid: int64 [C, h, w] with h = ceil(height / stride).

    Counts of different images add up: `a + b` are those of both.
    """

    def __init__(self, classes: int, size: HxW, stride: int):
        self.size, self.stride = tuple(size), stride
        self.counts_CHW = np.zeros((classes, *(-(-side // stride) for side in size)), np.int64)

    def add(self, label_HW: np.ndarray) -> None:
        """Count one label, uint8 [H, W], resized to `size` by the nearest pixel; 255 is skipped."""
        _count(np.ascontiguousarray(resize_label(label_HW, self.size)), self.stride, self.counts_CHW)

    def __add__(self, other: "PositionCounts") -> "PositionCounts":
        both = PositionCounts(len(self.counts_CHW), self.size, self.stride)
        np.add(self.counts_CHW, other.counts_CHW, out=both.counts_CHW)
        return both

    def frequencies(self) -> np.ndarray:
        """Return the counts divided by the pixels of each cell, float64 [C, h, w]; edge cells may have fewer pixels."""
        rows, columns = (
            np.minimum(self.stride, side - self.stride * np.arange(-(-side // self.stride))) for side in self.size
        )
        return self.counts_CHW / np.outer(rows, columns)


def smooth(maps_CHW: np.ndarray, kernel: tuple[float, float], sigma: tuple[float, float]) -> np.ndarray:
    """Blur maps [C, h, w] with a Gaussian of a limited kernel; borders are reflected; float64.

    `kernel` (the full width) and `sigma` are (vertical, horizontal), in cells. The sum of a map does not change.
    """
    maps_CHW = np.asarray(maps_CHW, np.float64)
    for axis, (side, spread) in enumerate(zip(kernel, sigma, strict=True), 1):
        reach = round(side / 2)
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2)
        margin = [(reach, reach) if i == axis else (0, 0) for i in range(3)]
        padded_CHW = np.moveaxis(np.pad(maps_CHW, margin, mode="symmetric"), axis, 0)
        shifted = (tap * padded_CHW[i : i + maps_CHW.shape[axis]] for i, tap in enumerate(taps / taps.sum()))
        # Added in a fixed order: the same bits on every machine.
        maps_CHW = np.moveaxis(sum(shifted), 0, axis)
    return maps_CHW


def normalise(maps_CHW: np.ndarray, norm: str) -> np.ndarray:
    """Scale each map so that it sums to 1 (`sum`, as in the paper), averages 1 (`mean`) or peaks at 1 (`max`).

    Returns float32 [C, h, w]; a map of zeros is unchanged. `sum` and `mean` give the same labels. `max` gives others,
    because it weighs the classes differently.
    """
    scale = {"sum": maps_CHW.sum((1, 2)), "mean": maps_CHW.mean((1, 2)), "max": maps_CHW.max((1, 2))}[norm]
    return (maps_CHW / np.where(scale > 0, scale, 1)[:, None, None]).astype(np.float32)


def spatial_prior(source: LabelledSet, size: HxW, settings: config.Prior, *, progress: Progress | None = None) -> Prior:
    """Return the prior of the source's labels for images of (height, width) `size`: counted, smoothed, normalised."""
    counts = PositionCounts(len(source.space), size, settings.stride)

    def read_resized(i: int) -> np.ndarray:
        return resize_label(source.label(i), counts.size)

    for label_HW in with_progress(map_in_order(read_resized, range(len(source))), len(source), progress):
        counts.add(label_HW)
    cells = [side / reference / settings.stride for side, reference in zip(size, _REFERENCE_SIZE, strict=True)]
    sigma = settings.kernel / 6 if settings.sigma is None else settings.sigma
    maps_CHW = smooth(
        counts.frequencies(), tuple(settings.kernel * cell for cell in cells), tuple(sigma * cell for cell in cells)
    )
    return Prior(normalise(maps_CHW, settings.norm), source.space.classes)


def write(path: Path, prior: Prior) -> None:
    """Write prior.h5 in one piece: `prior` and the attribute `classes`. Equal priors give equal bytes."""
    with hdf5.create(path) as file:
        hdf5.write_text(file.attrs, "classes", prior.classes)
        hdf5.write_array(file, "prior", prior.maps.astype(np.float32))


def read(path: Path, classes: tuple[str, ...] | None = None) -> Prior:
    """Read prior.h5. Raises UdasegError for a missing or damaged file, and where `classes` are others than its own."""
    with hdf5.open_to_read(path, "a spatial prior", _RERUN) as file:
        maps_CHW, names = hdf5.read_array(file, "prior"), hdf5.read_names(file.attrs, "classes")
    if classes is not None and names != tuple(classes):
        raise UdasegError(
            f"{path} is for the classes {', '.join(names)}; the predictions have {', '.join(classes)}", _RERUN
        )
    if maps_CHW.dtype != np.float32 or maps_CHW.ndim != 3 or len(maps_CHW) != len(names) or not maps_CHW.size:
        raise UdasegError(
            f"{path}: `prior` is {maps_CHW.dtype} {list(maps_CHW.shape)}, expected float32 [{len(names)}, h, w]", _RERUN
        )
    if not np.isfinite(maps_CHW).all() or (maps_CHW < 0).any() or math.isclose(maps_CHW.max(), 0):
        raise UdasegError(f"{path}: a prior is finite, nowhere negative and somewhere above 0", _RERUN)
    return Prior(maps_CHW, names)
