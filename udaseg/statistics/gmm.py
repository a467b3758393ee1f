"""A Gaussian mixture for every class over (column, row, inverse depth), and its file gmm.h5.

A pixel is a point (column, row, inverse depth). Columns and rows count from 0 on the grid of the network; inverse
depth is 65536 / (cm + 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udaseg.errors import UdasegError
from udaseg.io import hdf5

_RERUN = "write it again with `udaseg gmm --force`"


@dataclass(frozen=True, eq=False)
class Gmm:
    """Gaussian mixtures with diagonal covariances, one for each class.

    `weights` is float64 [C, K], `means` and `variances` are float64 [C, K, 3], `grid` is (height, width). A missing
    component has weight 0, mean 0 and variance 1. A class without pixels has no component, and density 0.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    classes: tuple[str, ...]
    grid: tuple[int, int]


def write(path: Path, gmm: Gmm) -> None:
    """Write gmm.h5 in one piece: `weights`, `means`, `variances` and the attributes `classes` and `grid`.

    Equal mixtures give equal bytes.
    """
    with hdf5.create(path) as file:
        hdf5.write_text(file.attrs, "classes", gmm.classes)
        file.attrs["grid"] = gmm.grid
        for name in ("weights", "means", "variances"):
            hdf5.write_array(file, name, getattr(gmm, name).astype(np.float64))


def read(path: Path, classes: Sequence[str] | None = None) -> Gmm:
    """Read gmm.h5. Raises UdasegError for a missing or damaged file, and where `classes` are others than its own."""
    with hdf5.open_to_read(path, "Gaussian mixtures", _RERUN) as file:
        weights, means, variances = (
            hdf5.read_array(file, name).astype(np.float64) for name in ("weights", "means", "variances")
        )
        names = hdf5.read_names(file.attrs, "classes")
        rows, columns = (int(side) for side in file.attrs["grid"])
    expected = (len(names), *weights.shape[1:2], 3)
    if weights.ndim != 2 or means.shape != expected or variances.shape != expected:
        shapes = f"weights {weights.shape}, means {means.shape}, variances {variances.shape}"
        raise UdasegError(f"{path}: {shapes} do not fit {len(names)} classes, expected [C, K] and [C, K, 3]", _RERUN)
    sums = weights.sum(axis=1)
    is_finite = all(np.isfinite(values).all() for values in (weights, means, variances))
    if not is_finite or (weights < 0).any() or (variances <= 0).any() or not np.all((sums == 0) | np.isclose(sums, 1)):
        raise UdasegError(
            f"{path}: expected finite values, positive variances, and weights that sum to 1 (0 for an absent class)",
            _RERUN,
        )
    if classes is not None and names != tuple(classes):
        raise UdasegError(
            f"{path} holds mixtures of {', '.join(names)}; expected {', '.join(classes)}",
            "fit them to the classes of the recipe: udaseg gmm",
        )
    return Gmm(weights, means, variances, names, (rows, columns))
