"""Fit a Gaussian mixture to every class of the source: column, row and inverse depth, over all of its pixels.

Pixels are counted, not kept: column x row x depth bin for every class. Within a class a diagonal Gaussian is a
product of three tables, so a step of EM runs over the counts, and its cost does not depend on how many pixels
were counted. The exact moments of the depth inside each bin enter the M-step. Restarts from k-means++ seeds run
on a coarser copy of the counts; the best of them is refined on the full one.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numba import njit

from udaseg.data.depth import FAR, inverse_depth
from udaseg.errors import UdasegError
from udaseg.statistics.depth_density import Gmm

FLOOR = 0.25  # the least variance: half a pixel of the grid, half a unit of inverse depth, squared
FLOOR_COMPAT = 1e-6
CHECK = 5  # steps of EM between two looks at the likelihood


class GmmCounts:
    """Count the pixels of each class by column, row and depth on the grid; exact and mergeable in any order.

    `counts_CHWB` is uint32 [C, h, w, bins], `raw` int64 [C, 65536] the histogram of raw depth. Bins are even in
    log(1 + d / 8) of the inverse depth d. A raw depth of 0, and of 65535 outside a class called "sky", is no
    measurement and stays out, unless `compat` keeps it as the published tables did.
    """

    def __init__(self, classes: Sequence[str], grid: tuple[int, int], *, bins: int = 128, compat: bool = False):
        self.classes, self.grid, self.compat = tuple(classes), tuple(grid), compat
        self.counts_CHWB = np.zeros((len(self.classes), *self.grid, bins), np.uint32)
        self.raw = np.zeros((len(self.classes), FAR + 1), np.int64)
        position = np.log1p(inverse_depth(np.arange(FAR + 1)) / 8)
        edges = np.linspace(position.min(), position.max(), bins + 1)[1:-1]
        self.bin = np.searchsorted(edges, position).astype(np.uint16)
        self._far = np.array([compat or name == "sky" for name in self.classes])

    def add(self, labels_HW: np.ndarray, cm_HW: np.ndarray) -> None:
        """Count one image: uint8 train ids and uint16 centimetres, both on the grid (see `depth.to_grid`).

        Ids that are no class of this table are left out. Raises UdasegError where a size is not the grid's.
        """
        for name, image in (("labels", labels_HW), ("depth", cm_HW)):
            if image.shape != self.grid:
                raise UdasegError(
                    f"{name} of {image.shape}, the grid is {self.grid}", "resample both to the grid first"
                )
        assert labels_HW.dtype == np.uint8
        assert cm_HW.dtype == np.uint16
        _count(labels_HW, cm_HW, self.bin, self._far, self.compat, self.counts_CHWB, self.raw)

    def merge(self, other: "GmmCounts") -> None:
        """Add the counts of another part of the same data set."""
        assert (self.classes, self.compat) == (other.classes, other.compat)
        assert self.counts_CHWB.shape == other.counts_CHWB.shape
        self.counts_CHWB += other.counts_CHWB
        self.raw += other.raw


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
    """Fit one mixture a class by maximum likelihood.

    `tolerance` is the gain of the mean log-likelihood in a step, in nats, below which EM stops, at the latest
    after `iterations`. Variances stay at or above 0.25 in each unit squared (1e-6 for `compat` counts). A class
    of fewer distinct places than components gets that many; one without pixels is absent. Components are in
    order of falling weight. The seed and the class decide the restarts, so the order of counting does not matter.
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
    """Run EM from a start: weights [K], means and variances [K, 3], and the mean log-likelihood before the last
    steps.

    `axes` holds the moments of the bins of column, row and depth, see `bin_moments`.
    """
    extent_HW2 = _extent(counts_HWB)
    total = counts_HWB.sum(dtype=np.int64)
    previous = -np.inf
    for step in range(iterations):
        look = step % CHECK == 0
        column, row, bin_ = (
            -0.5
            * ((axis[0] - means[:, k, None]) ** 2 / variances[:, k, None] + np.log(2 * np.pi * variances[:, k, None]))
            for k, axis in enumerate(axes)
        )
        with np.errstate(divide="ignore"):
            column = column + np.log(weights)[:, None]
        *sums, likelihood = _expect(counts_HWB, extent_HW2, column, row, bin_, look)
        mass = sums[0].sum(axis=1)
        weights, kept = mass / mass.sum(), mass > 0
        means, variances = means.copy(), variances.copy()
        for k, ((centre, spread), share) in enumerate(zip(axes, sums, strict=True)):
            share = share[kept] / mass[kept, None]
            means[kept, k] = share @ centre
            offset = (centre - means[kept, k, None]) ** 2
            variances[kept, k] = np.maximum((share * (offset + spread)).sum(axis=1), floor)
        if look:
            if likelihood / total - previous < CHECK * tolerance:
                break
            previous = likelihood / total
    return weights, means, variances, likelihood / total


def bin_moments(counts: GmmCounts, c: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Give for column, row and depth the mean and the variance of what each bin of a class holds.

    A column or a row is itself; the moments inside a depth bin are exact, from the histogram of raw depth.
    """
    raw, length = counts.raw[c], counts.counts_CHWB.shape[3]
    value = inverse_depth(np.arange(len(raw))).astype(np.float64)
    amount = np.maximum(np.bincount(counts.bin, raw, length), 1)
    mean = np.bincount(counts.bin, raw * value, length) / amount
    variance = np.bincount(counts.bin, raw * (value - mean[counts.bin]) ** 2, length) / amount
    height, width = counts.grid
    places = ((np.arange(side, dtype=np.float64), np.zeros(side)) for side in (width, height))
    return (*places, (mean, variance))


def _start(counts_HWB, axes, components, rng, restarts, floor):
    """Choose the best of several EM runs on a coarser copy of the counts, from k-means++ seeds."""
    block = max(1, min(counts_HWB.shape[:2]) // 16)
    coarse_HWB, coarse_axes = counts_HWB, axes
    for k, factor in ((0, block), (1, block), (2, 2)):
        coarse_HWB, coarse_axes = _coarsen(coarse_HWB, coarse_axes, k, factor)
    places = np.nonzero(coarse_HWB)
    amount = coarse_HWB[places].astype(np.float64)
    points = np.stack([coarse_axes[k][0][places[1 - k] if k < 2 else places[2]] for k in range(3)], axis=1)
    spreads = np.stack([coarse_axes[k][1][places[1 - k] if k < 2 else places[2]] for k in range(3)], axis=1)
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
            chosen = scaled[rng.choice(len(scaled), p=chance / chance.sum())]
            closer = ((scaled - chosen) ** 2).sum(axis=1)
            owner[closer < distance] = seed
            distance = np.minimum(distance, closer)
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
    """Join `factor` neighbouring bins of one axis; their moments come from the counts."""
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
def _count(labels_HW, cm_HW, bins, far, compat, counts_CHWB, raw):
    for y in range(labels_HW.shape[0]):
        for x in range(labels_HW.shape[1]):
            label, cm = labels_HW[y, x], cm_HW[y, x]
            if label < len(raw) and (compat or (cm > 0 and (cm < FAR or far[label]))):
                counts_CHWB[label, y, x, bins[cm]] += 1
                raw[label, cm] += 1


@njit(cache=True, nogil=True)
def _extent(counts_HWB):
    """Find the first and one past the last bin in use at each place."""
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
def _expect(counts_HWB, extent_HW2, log_column, log_row, log_bin, look):
    """Sum the responsibilities of each component by column, row and bin; with `look` also the log-likelihood.

    Tables are log-densities [K, length]. Where the density underflows the responsibilities are taken from the
    logarithms instead.
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
            if look:
                for b in range(first, stop):
                    if counts[b] and density[b] >= 1e-280:
                        likelihood += counts[b] * np.log(density[b])
    return by_column, by_row, by_bin, likelihood


@njit(cache=True, nogil=True)
def _far_off(count, x, y, b, log_column, log_row, log_bin, by_column, by_row, by_bin):
    """Share out one cell far from every component, by logarithms; return its log-likelihood."""
    logs = log_column[:, x] + log_row[:, y] + log_bin[:, b]
    most = logs.max()
    shares = np.exp(logs - most)
    total = shares.sum()
    by_column[:, x] += count * shares / total
    by_row[:, y] += count * shares / total
    by_bin[:, b] += count * shares / total
    return count * (most + np.log(total))
