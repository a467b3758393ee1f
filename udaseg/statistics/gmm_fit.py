"""Fit a Gaussian mixture to every class of the source by expectation maximisation (EM) on pixel counts.

Within a class the density of a diagonal Gaussian is a product of three tables: column, row and depth. A step of EM runs
over the counts, so its cost does not depend on the number of pixels. The M-step uses the exact moments of the depth
inside each bin. Restarts from k-means++ seeds run on coarser counts; the best of them is refined on the full ones.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from udaseg.data.depth import inverse_depth
from udaseg.statistics.gmm import Gmm
from udaseg.statistics.gmm_counts import GmmCounts

FLOOR = 0.25  # the least variance: half a pixel of the grid, half a unit of inverse depth, squared
FLOOR_COMPAT = 1e-6
CHECK = 5  # steps of EM between two computations of the likelihood


def fit(
    counts: GmmCounts,
    components: int = 5,
    *,
    seed: int = 0,
    iterations: int = 100,
    restarts: int = 5,
    tolerance: float = 1e-5,
    progress: Callable[[int, int], None] | None = None,
) -> Gmm:
    """Fit a Gaussian mixture to every class by maximum likelihood.

    EM stops when a step improves the mean log-likelihood by less than `tolerance` nats, at the latest after
    `iterations`. Variances are at least 0.25 units squared (1e-6 for `compat` counts). A class with fewer distinct
    points than components gets one component a point; a class without pixels is absent. Components are in order of
    falling weight. The random restarts depend on the seed and the class alone.
    """
    shape = len(counts.classes), components
    weights, means, variances = np.zeros(shape), np.zeros((*shape, 3)), np.ones((*shape, 3))
    floor = FLOOR_COMPAT if counts.compat else FLOOR
    for c in range(len(counts.classes)):
        counts_HWB = counts.counts_CHWB[c]
        if counts_HWB.any():
            axes = bin_moments(counts, c)
            start = _start(counts_HWB, axes, components, np.random.default_rng([seed, c]), restarts, floor)
            *best, _ = maximise(counts_HWB, axes, *start, floor, iterations, tolerance)
            order = np.argsort(-best[0], kind="stable")
            order = order[best[0][order] > 0]
            weights[c, : len(order)] = best[0][order]
            means[c, : len(order)], variances[c, : len(order)] = best[1][order], best[2][order]
        if progress is not None:
            progress(c + 1, len(counts.classes))
    return Gmm(weights, means, variances, counts.classes, counts.grid)


def maximise(
    counts_HWB: np.ndarray,
    axes: tuple[tuple[np.ndarray, np.ndarray], ...],
    weights: np.ndarray,
    means: np.ndarray,
    variances: np.ndarray,
    floor: float,
    iterations: int,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Run EM from initial weights [K], means [K, 3] and variances [K, 3]; return the fitted ones.

    The fourth value is the last mean log-likelihood that was computed, up to CHECK steps before the end. `axes` holds
    the moments of the bins of column, row and depth, see `bin_moments`.
    """
    extent_HW2 = _extent(counts_HWB)
    total = counts_HWB.sum(dtype=np.int64)
    previous = -np.inf
    for step in range(iterations):
        is_check = step % CHECK == 0
        column, row, bin_ = (
            -0.5
            * ((axis[0] - means[:, k, None]) ** 2 / variances[:, k, None] + np.log(2 * np.pi * variances[:, k, None]))
            for k, axis in enumerate(axes)
        )
        with np.errstate(divide="ignore"):
            column = column + np.log(weights)[:, None]
        *sums, likelihood = _expect(counts_HWB, extent_HW2, column, row, bin_, is_check)
        mass = sums[0].sum(axis=1)
        weights, present = mass / mass.sum(), mass > 0
        means, variances = means.copy(), variances.copy()
        for k, ((centre, spread), share) in enumerate(zip(axes, sums, strict=True)):
            share = share[present] / mass[present, None]
            means[present, k] = share @ centre
            offset = (centre - means[present, k, None]) ** 2
            variances[present, k] = np.maximum((share * (offset + spread)).sum(axis=1), floor)
        if is_check:
            if likelihood / total - previous < CHECK * tolerance:
                break
            previous = likelihood / total
    return weights, means, variances, likelihood / total


def bin_moments(counts: GmmCounts, c: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return (mean, variance) of the values in each bin of a class, for the axes column, row and depth.

    A column or a row is one value; the moments inside a depth bin are exact, from the histogram of raw depth.
    """
    raw, length = counts.raw[c], counts.counts_CHWB.shape[3]
    value = inverse_depth(np.arange(len(raw))).astype(np.float64)
    amount = np.maximum(np.bincount(counts.bin, raw, length), 1)
    mean = np.bincount(counts.bin, raw * value, length) / amount
    variance = np.bincount(counts.bin, raw * (value - mean[counts.bin]) ** 2, length) / amount
    height, width = counts.grid
    positions = ((np.arange(side, dtype=np.float64), np.zeros(side)) for side in (width, height))
    return (*positions, (mean, variance))


def _start(counts_HWB, axes, components, rng, restarts, floor):
    """Return the best of several EM runs on coarser counts, from k-means++ seeds."""
    block = max(1, min(counts_HWB.shape[:2]) // 16)
    coarse_HWB, coarse_axes = counts_HWB, axes
    for k, factor in ((0, block), (1, block), (2, 2)):
        coarse_HWB, coarse_axes = _coarsen(coarse_HWB, coarse_axes, k, factor)
    cells = np.nonzero(coarse_HWB)
    amount = coarse_HWB[cells].astype(np.float64)
    points = np.stack([coarse_axes[k][0][cells[1 - k] if k < 2 else cells[2]] for k in range(3)], axis=1)
    spreads = np.stack([coarse_axes[k][1][cells[1 - k] if k < 2 else cells[2]] for k in range(3)], axis=1)
    # Inverse depth has a long tail: its logarithm keeps a few near pixels from taking all the seeds.
    scaled = np.stack([points[:, 0], points[:, 1], np.log1p(points[:, 2] / 8)], axis=1)
    scaled -= np.average(scaled, axis=0, weights=amount)
    scaled /= np.sqrt(np.average(scaled**2, axis=0, weights=amount)) + 1e-9

    best = None
    for _ in range(restarts):
        distance = np.full(len(scaled), np.inf)
        owner = np.zeros(len(scaled), np.int64)
        for seed in range(min(components, len(scaled))):
            chance = amount * distance if seed else amount
            if chance.sum() == 0:
                break
            centre = scaled[rng.choice(len(scaled), p=chance / chance.sum())]
            new_distance = ((scaled - centre) ** 2).sum(axis=1)
            owner[new_distance < distance] = seed
            distance = np.minimum(distance, new_distance)
        mass = np.bincount(owner, amount)
        means, variances = np.empty((len(mass), 3)), np.empty((len(mass), 3))
        for k in range(3):
            means[:, k] = np.bincount(owner, amount * points[:, k]) / mass
            offset = (points[:, k] - means[owner, k]) ** 2 + spreads[:, k]
            variances[:, k] = np.maximum(np.bincount(owner, amount * offset) / mass, floor)
        run = maximise(coarse_HWB, coarse_axes, mass / mass.sum(), means, variances, floor, 100, 1e-4)
        if best is None or run[3] > best[3]:
            best = run
    return best[:3]


def _coarsen(counts_HWB, axes, k, factor):
    """Join each `factor` neighbouring bins of axis k; return the counts and the moments of the new bins."""
    dimension = (1, 0, 2)[k]
    starts = np.arange(0, counts_HWB.shape[dimension], factor)
    amount = counts_HWB.sum(axis=tuple({0, 1, 2} - {dimension}), dtype=np.float64)
    mean, variance = axes[k]
    joined = np.maximum(np.add.reduceat(amount, starts), 1)
    new_mean = np.add.reduceat(amount * mean, starts) / joined
    offset = (mean - np.repeat(new_mean, factor)[: len(mean)]) ** 2
    axis = new_mean, np.add.reduceat(amount * (offset + variance), starts) / joined
    return np.add.reduceat(counts_HWB, starts, axis=dimension), (*axes[:k], axis, *axes[k + 1 :])


@njit(cache=True, nogil=True)
def _extent(counts_HWB):
    """Find the first bin with a count and the end of the last one, for each column and row."""
    height, width, bins = counts_HWB.shape
    extent_HW2 = np.zeros((height, width, 2), np.int32)
    for y in range(height):
        for x in range(width):
            for b in range(bins):
                if counts_HWB[y, x, b]:
                    if extent_HW2[y, x, 1] == 0:
                        extent_HW2[y, x, 0] = b
                    extent_HW2[y, x, 1] = b + 1
    return extent_HW2


@njit(cache=True, nogil=True, fastmath={"reassoc"}, error_model="numpy")  # lanes for sums; they differ in the last bits
def _expect(counts_HWB, extent_HW2, log_column, log_row, log_bin, with_likelihood):
    """Sum the responsibilities of each component by column, row and bin; with `with_likelihood` the log-likelihood too.

    Tables are log-densities [K, length]. Where the density underflows, responsibilities come from the logarithms.
    """
    components, bins = log_bin.shape
    height, width = counts_HWB.shape[:2]
    by_column, by_row = np.zeros((components, width)), np.zeros((components, height))
    by_bin = np.zeros((components, bins))
    table = np.exp(log_bin)
    density, ratio, place = np.empty(bins), np.empty(bins), np.empty(components)
    likelihood = 0.0
    for y in range(height):
        for x in range(width):
            first, stop = extent_HW2[y, x]
            if stop == 0:
                continue
            counts = counts_HWB[y, x]
            for j in range(components):
                place[j] = np.exp(log_column[j, x] + log_row[j, y])
            for b in range(first, stop):
                density[b] = 0
            for j in range(components):
                for b in range(first, stop):
                    density[b] += place[j] * table[j, b]
            least = np.inf
            for b in range(first, stop):
                least = min(least, density[b])
                ratio[b] = counts[b] / max(density[b], 1e-280)
            if least < 1e-280:
                for b in range(first, stop):
                    if counts[b] and density[b] < 1e-280:
                        ratio[b] = 0
                        likelihood += _far_off(
                            counts[b], x, y, b, log_column, log_row, log_bin, by_column, by_row, by_bin
                        )
            for j in range(components):
                mass = 0.0
                for b in range(first, stop):
                    share = ratio[b] * place[j] * table[j, b]
                    by_bin[j, b] += share
                    mass += share
                by_column[j, x] += mass
                by_row[j, y] += mass
            if with_likelihood:
                for b in range(first, stop):
                    if counts[b] and density[b] >= 1e-280:
                        likelihood += counts[b] * np.log(density[b])
    return by_column, by_row, by_bin, likelihood


@njit(cache=True, nogil=True)
def _far_off(count, x, y, b, log_column, log_row, log_bin, by_column, by_row, by_bin):
    """Add the responsibilities of a cell far from every component, by logarithms; return its log-likelihood."""
    logs = log_column[:, x] + log_row[:, y] + log_bin[:, b]
    most = logs.max()
    shares = np.exp(logs - most)
    total = shares.sum()
    by_column[:, x] += count * shares / total
    by_row[:, y] += count * shares / total
    by_bin[:, b] += count * shares / total
    return count * (most + np.log(total))
