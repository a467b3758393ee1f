"""Time the density of the mixtures of 16 classes, on the grid of a 760x1280 image."""

import ctypes
from collections.abc import Iterator

import numpy as np
from measure import Call, Row, relative
from numba import carray, cfunc, types

from udaseg.statistics.depth_density import density
from udaseg.statistics.gmm import Gmm

GRID, CLASSES, COMPONENTS = (96, 161), 16, 5


def example() -> tuple[Gmm, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = CLASSES, COMPONENTS
    weights = rng.dirichlet(np.ones(COMPONENTS), CLASSES)
    means = np.stack([rng.uniform(0, GRID[1], shape), rng.uniform(0, GRID[0], shape), rng.uniform(1, 300, shape)], -1)
    variances = np.stack([rng.uniform(9, 900, shape), rng.uniform(9, 400, shape), rng.uniform(10, 4000, shape)], -1)
    names = tuple(f"class {c}" for c in range(CLASSES))
    return Gmm(weights, means, variances, names, GRID), rng.uniform(1, 300, GRID).astype(np.float32)


def by_numpy(mixtures: Gmm, depth_HW: np.ndarray) -> Call:
    """Evaluate a class at a time, all of its components and places at once."""
    x, y = np.arange(GRID[1], dtype=np.float32)[None, None], np.arange(GRID[0], dtype=np.float32)[None, :, None]
    means, variances = (values.astype(np.float32) for values in (mixtures.means, mixtures.variances))
    scales = (mixtures.weights / np.sqrt((2 * np.pi) ** 3 * mixtures.variances.prod(axis=2))).astype(np.float32)

    def call() -> np.ndarray:
        out_CHW = np.empty((CLASSES, *GRID), np.float32)
        for c in range(CLASSES):
            mean, variance, scale = means[c, :, None, None, :], variances[c, :, None, None, :], scales[c]
            column = np.exp(-((x - mean[..., 0]) ** 2) / (2 * variance[..., 0]))
            row = scale[:, None, None] * np.exp(-((y - mean[..., 1]) ** 2) / (2 * variance[..., 1]))
            depth = np.exp(-((depth_HW - mean[..., 2]) ** 2) / (2 * variance[..., 2]))
            out_CHW[c] = (column * row * depth).sum(axis=0)
        return out_CHW

    return call


def by_scipy(mixtures: Gmm, depth_HW: np.ndarray) -> Call:
    from scipy.stats import norm

    axes = np.broadcast_arrays(np.arange(GRID[1]), np.arange(GRID[0])[:, None], depth_HW)
    deviations = np.sqrt(mixtures.variances)[:, :, None, None]
    means, weights = mixtures.means[:, :, None, None], mixtures.weights[:, :, None, None]

    def call() -> np.ndarray:
        parts = (norm.pdf(axis, means[..., k], deviations[..., k]) for k, axis in enumerate(axes))
        return (weights * next(parts) * next(parts) * next(parts)).sum(axis=1)

    return call


def by_loop(mixtures: Gmm, depth_HW: np.ndarray) -> Call:
    """Call a compiled function for every class and place, from Python, as published."""
    pointer, real = types.CPointer(types.float32), types.float32

    @cfunc(real(types.intc, pointer, pointer, pointer, real, real, real))
    def at(components, means, deviations, weights, x, y, d):
        mean, deviation = carray(means, (components, 3)), carray(deviations, (components, 3))
        weight = carray(weights, (components,))
        total = np.float32(0)
        for j in range(components):
            part = weight[j] / np.float32((2 * np.pi) ** 1.5)
            for k, value in enumerate((x, y, d)):
                z = (value - mean[j, k]) / deviation[j, k]
                part *= np.exp(np.float32(-0.5) * z * z) / deviation[j, k]
            total += part
        return total

    def table(values: np.ndarray) -> ctypes.Array:
        return (ctypes.c_float * values.size)(*values.ravel())

    tables = [
        [table(values) for values in (mean, np.sqrt(variance), weight)]
        for mean, variance, weight in zip(mixtures.means, mixtures.variances, mixtures.weights, strict=True)
    ]

    def call() -> np.ndarray:
        out_CHW = np.empty((CLASSES, *GRID))
        for c in range(CLASSES):
            for y in range(GRID[0]):
                for x in range(GRID[1]):
                    out_CHW[c, y, x] = at.ctypes(COMPONENTS, *tables[c], x, y, depth_HW[y, x])
        return out_CHW

    return call


def rows(size: tuple[int, int]) -> Iterator[Row]:
    mixtures, depth_HW = example()
    yield Row(
        f"density of {CLASSES} classes at {GRID[0]}x{GRID[1]}",
        lambda: density(mixtures, depth_HW),
        {
            "NumPy, class by class": lambda: by_numpy(mixtures, depth_HW),
            "scipy.stats": lambda: by_scipy(mixtures, depth_HW),
            "a compiled call for each place, as published": lambda: by_loop(mixtures, depth_HW),
        },
        (1 + CLASSES) * depth_HW.nbytes,
        relative,
        {"NumPy, class by class": 2, "a compiled call for each place, as published": 1000},
    )
