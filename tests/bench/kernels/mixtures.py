"""Time the fit of Gaussian mixtures over column, row and inverse depth to one and to ten million pixels."""

from collections.abc import Iterator

import numpy as np
from measure import Call, Row

from udaseg.data.depth import inverse_depth
from udaseg.statistics.gmm import Gmm
from udaseg.statistics.gmm_counts import GmmCounts
from udaseg.statistics.gmm_fit import fit

GRID, COMPONENTS = (96, 161), 5


def maps(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the labels (0, or 255 for no class) and the depth of some street: near at the bottom, far at the top."""
    rng = np.random.default_rng(0)
    y, x = np.indices(GRID)
    labels_NHW = np.where((y > 30) & (rng.random((images, *GRID)) < 0.9), np.uint8(0), np.uint8(255))
    curve = rng.normal(80, 15, (images, 1, 1))
    inverse_N = 6 + 2.2 * (y - 30) + 0.002 * (x - curve) ** 2 + 12 * rng.gamma(2, 1, (images, *GRID))
    return labels_NHW, np.clip(65536 / np.maximum(inverse_N, 2) - 1, 1, 65534).astype(np.uint16)


def points(labels_NHW: np.ndarray, cm_NHW: np.ndarray) -> np.ndarray:
    n, y, x = np.nonzero(labels_NHW == 0)
    return np.stack([x, y, inverse_depth(cm_NHW[n, y, x])], axis=1).astype(np.float64)


def by_counts(labels_NHW: np.ndarray, cm_NHW: np.ndarray) -> Call:
    def call() -> Gmm:
        counts = GmmCounts(("road",), GRID)
        for labels_HW, cm_HW in zip(labels_NHW, cm_NHW, strict=True):
            counts.add(labels_HW, cm_HW)
        return fit(counts, COMPONENTS)

    return call


def by_sklearn(data_N3: np.ndarray) -> Call:
    from sklearn.mixture import GaussianMixture

    def call() -> Gmm:
        mixture = GaussianMixture(COMPONENTS, covariance_type="diag", random_state=0).fit(data_N3)
        return Gmm(mixture.weights_[None], mixture.means_[None], mixture.covariances_[None], ("road",), GRID)

    return call


def log_likelihood(mixtures: Gmm, data_N3: np.ndarray) -> float:
    weights, means, variances = mixtures.weights[0], mixtures.means[0], mixtures.variances[0]
    logs = -0.5 * ((data_N3[:, None] - means) ** 2 / variances + np.log(2 * np.pi * variances)).sum(axis=2)
    return float(np.logaddexp.reduce(logs + np.log(weights), axis=1).mean())


def rows(size: tuple[int, int]) -> Iterator[Row]:
    for millions, target in ((1, 50), (10, 300)):
        labels_NHW, cm_NHW = maps(round(millions * 1e6 / (0.9 * 65 * GRID[1])))
        data_N3 = points(labels_NHW, cm_NHW)
        some = data_N3[:: max(1, len(data_N3) // 200_000)]

        def difference(ours: Gmm, theirs: Gmm, some: np.ndarray = some) -> dict[str, float]:
            # Above 0 where ours is likelier.
            return {"nats a pixel, + for ours": log_likelihood(ours, some) - log_likelihood(theirs, some)}

        yield Row(
            f"mixture of {COMPONENTS}, {millions}e6 pixels",
            by_counts(labels_NHW, cm_NHW),
            {"scikit-learn": lambda data_N3=data_N3: by_sklearn(data_N3)},
            labels_NHW.nbytes + cm_NHW.nbytes,
            difference,
            {"scikit-learn": target},
        )
