"""Read the mixtures of a run: where in the image, and how far away, each class lies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udaseg.errors import UdasegError


@dataclass(frozen=True)
class Mixtures:
    """Per-class Gaussian mixtures over (column, row, inverse depth 65536/(cm+1)) on a grid of h by w cells."""

    classes: tuple[str, ...]
    grid: tuple[int, int]
    weights: np.ndarray  # [C, K]
    means: np.ndarray  # [C, K, 3]
    variances: np.ndarray  # [C, K, 3]

    def fitted(self, c: int) -> bool:
        """Say whether class c has a mixture: finite values and some weight."""
        finite = all(np.isfinite(a[c]).all() for a in (self.weights, self.means, self.variances))
        return bool(finite and self.weights[c].sum() > 0)

    def metres(self, c: int) -> float:
        """Return the distance in metres at the mean inverse depth of class c."""
        inverse = float((self.weights[c] * self.means[c, :, 2]).sum() / self.weights[c].sum())
        return (65536 / max(inverse, 1.0) - 1) / 100


def read_mixtures(path: Path) -> Mixtures:
    """Read `gmm.h5`. Raises UdasegError where it is missing, is no HDF5 file, or its arrays do not fit together."""
    from udaseg.io import hdf5

    again = f"remove {path.parent} and run the stage again"
    with hdf5.reading(path, "mixtures", again), hdf5.opened(path) as file:
        classes = hdf5.names(file.attrs, "classes")
        grid = tuple(int(size) for size in file.attrs["grid"])
        weights, means, variances = (
            hdf5.array(file, name).astype(np.float64) for name in ("weights", "means", "variances")
        )
    shape = (len(classes), weights.shape[-1] if weights.ndim == 2 else 0)
    if weights.shape != shape or means.shape != (*shape, 3) or variances.shape != (*shape, 3) or len(grid) != 2:
        raise UdasegError(
            f"{path}: expected weights [C, K], means and variances [C, K, 3] of {len(classes)} classes, "
            f"found {weights.shape}, {means.shape} and {variances.shape}",
            again,
        )
    return Mixtures(classes, grid, weights, means, variances)
