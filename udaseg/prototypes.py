"""Prototypes: the mean feature of each class, and pseudo-labels rectified by the distance to them.

ProDA (Zhang et al., CVPR 2021), eq. 4 to 6: a class is believed where the feature is near its prototype,
label = argmax_k w_k p_k with w = softmax(-||f - eta|| / tau); the distance is not squared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numba import njit

from udaseg.data.records import ImageSet, LabelledSet
from udaseg.data.transforms import resize_label
from udaseg.errors import UdasegError
from udaseg.files import atomic
from udaseg.labels import ClassSpace
from udaseg.parallel import Progress
from udaseg.recipe import HxW, Predict

Part = tuple[ImageSet | LabelledSet, Callable[[int], np.ndarray], HxW | None]

_AGAIN = "write it again with `udaseg prototypes --force`"
ROWS = 512  # features handled at a time, so that the temporaries stay in the cache


class Centroids:
    """Sum features by class; exact counts, sums in float64 [C, D], mergeable."""

    def __init__(self, classes: int, dimension: int):
        self.sums = np.zeros((classes, dimension))
        self.counts = np.zeros(classes, np.int64)

    def add(self, features: Any, labels: np.ndarray) -> None:
        """Add features [..., D], an array or a tensor with the channels last, of the uint8 labels [...].

        Float32 features in memory order are read in place: of an NCHW tensor in channels_last memory format
        `permute(0, 2, 3, 1)` is such a view. Labels that are no class are left out. Raises UdasegError where
        the sizes do not match.
        """
        rows_ND, labels_N = _rows(features), np.ascontiguousarray(labels).ravel()
        if rows_ND.shape != (len(labels_N), self.sums.shape[1]):
            raise UdasegError(
                f"{len(rows_ND)} features of {rows_ND.shape[1]} values for {len(labels_N)} labels, expected "
                f"{self.sums.shape[1]} values and a label each",
                "resample the labels to the size of the feature map",
            )
        _accumulate(rows_ND, labels_N, self.sums, self.counts)

    def merge(self, other: "Centroids") -> None:
        """Add the sums of another part of the same data."""
        assert self.sums.shape == other.sums.shape
        self.sums += other.sums
        self.counts += other.counts

    def centroids(self) -> np.ndarray:
        """Give the mean feature of each class, float32 [C, D]; NaN for a class never seen, not the origin."""
        with np.errstate(invalid="ignore"):
            return (self.sums / self.counts[:, None]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Hold centroids float32 [C, D] (NaN for a class never seen), counts int64 [C], and what they stand for."""

    centroids: np.ndarray
    counts: np.ndarray
    classes: tuple[str, ...]
    layer: str


def gather(
    model: Path, space: ClassSpace, parts: Sequence[Part], settings: Predict, *, progress: Progress | None = None
) -> tuple[Prototypes, dict[str, Any]]:
    """Average the features of every class in one pass; return the prototypes and the manifest's environment.

    A part is a set of pictures, the reader of their labels (index to uint8 [H, W]) and the size at which the network
    sees them. Labels are brought to the features' grid, nearest; ignored pixels count nowhere.
    """
    from udaseg.models.inference import Runner

    runner = Runner(model, space.classes, settings.precision)
    sums = Centroids(len(space), runner.model.feature_channels)
    done, total = 0, sum(len(pictures) for pictures, _, _ in parts)
    for pictures, label, size in parts:
        for indices, _, output in runner.run(pictures, range(len(pictures)), size, settings.batch):
            for i, features_DHW in zip(indices, output.features, strict=True):
                features_HWD = features_DHW.permute(1, 2, 0).contiguous()
                sums.add(features_HWD.cpu(), resize_label(label(i), tuple(features_HWD.shape[:2])))
            done += len(indices)
            if progress is not None:
                progress(done, total)
    return Prototypes(sums.centroids(), sums.counts, space.classes, "features"), runner.environment


def write(path: Path, prototypes: Prototypes) -> None:
    """Write prototypes.h5 in one piece: `centroids`, `counts`, attributes `classes` and `layer`; the same bytes
    for the same prototypes."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("centroids", data=prototypes.centroids.astype(np.float32))
        file.create_dataset("counts", data=prototypes.counts.astype(np.int64))
        file.attrs["classes"] = list(prototypes.classes)
        file.attrs["layer"] = prototypes.layer


def read(path: Path) -> Prototypes:
    """Read prototypes.h5. Raises UdasegError for a missing file, another format, or shapes that do not fit."""
    try:
        with h5py.File(path, "r") as file:
            centroids, counts = file["centroids"][()].astype(np.float32), file["counts"][()].astype(np.int64)
            classes, layer = tuple(str(name) for name in file.attrs["classes"]), str(file.attrs["layer"])
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UdasegError(f"cannot read prototypes from {path}: {error}", _AGAIN) from None
    if centroids.ndim != 2 or len(centroids) != len(classes) or counts.shape != (len(classes),):
        raise UdasegError(
            f"{path}: centroids {centroids.shape} and counts {counts.shape} do not fit {len(classes)} classes, "
            "expected [C, D] and [C]",
            _AGAIN,
        )
    if not np.isfinite(centroids[counts > 0]).all() or (counts < 0).any():
        raise UdasegError(f"{path}: a centroid is not finite, or a count is negative", _AGAIN)
    return Prototypes(centroids, counts, classes, layer)


def distance_softmax(features: Any, centroids: np.ndarray, counts: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Weigh the classes by nearness, softmax over classes of -||f - eta||_2 / temperature: float32 [..., C].

    Features [..., D], channels last; ProDA, eq. 5. The weights of classes never seen (count 0) are 0.
    Raises UdasegError for a temperature that is not positive or features of another dimension.
    """
    if not temperature > 0:
        raise UdasegError(f"temperature is {temperature}, expected a positive number", "1 is the published value")
    rows_ND = _rows(features)
    if rows_ND.shape[1] != centroids.shape[1]:
        raise UdasegError(
            f"features of {rows_ND.shape[1]} values, prototypes of {centroids.shape[1]}",
            "compute the prototypes with this model (`udaseg prototypes`)",
        )
    weights_NC = np.zeros((len(rows_ND), len(centroids)), np.float32)
    seen = np.flatnonzero(counts > 0)
    if len(seen):
        # |f|^2 - 2 f.eta + |eta|^2 cancels far from the origin, so all of it is taken about the prototypes' mean.
        origin = centroids[seen].mean(axis=0)
        eta_CD = centroids[seen] - origin
        squares_C, twice_DC = (eta_CD**2).sum(axis=1), np.ascontiguousarray(-2 * eta_CD.T)
        offset_ND = np.empty((min(ROWS, len(rows_ND)), len(origin)), np.float32)
        for start in range(0, len(rows_ND), ROWS):
            part_ND = rows_ND[start : start + ROWS]
            squares_N = _shift(part_ND, origin, offset_ND)
            product_NC = offset_ND[: len(part_ND)] @ twice_DC
            _soften(product_NC, squares_N, squares_C, seen, temperature, weights_NC[start : start + ROWS])
    return weights_NC.reshape(*features.shape[:-1], len(centroids))


def rectify(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Choose the class of the largest w p: uint8 labels [...] of probabilities and weights [..., C].

    ProDA, eq. 4. Where every product underflows, or no prototype is known, the label is that of p alone.
    """
    classes = probabilities.shape[-1]
    labels = np.empty(probabilities.shape[:-1], np.uint8)
    _choose(probabilities.reshape(-1, classes), weights.reshape(-1, classes), labels.reshape(-1))
    return labels


def _rows(features: Any) -> np.ndarray:
    """View an array or a tensor [..., D] as float32 rows [N, D], in place where memory allows."""
    if hasattr(features, "detach"):
        features = features.detach().float().cpu().contiguous().numpy()
    return np.ascontiguousarray(features, np.float32).reshape(-1, features.shape[-1])


@njit(cache=True, nogil=True)
def _accumulate(rows_ND, labels_N, sums_CD, counts_C):
    for n in range(len(labels_N)):
        label = labels_N[n]
        if label < len(counts_C):
            counts_C[label] += 1
            total, row = sums_CD[label], rows_ND[n]
            for d in range(len(row)):
                total[d] += row[d]


@njit(cache=True, nogil=True, fastmath={"reassoc"})  # lanes for the sum of squares
def _shift(rows_ND, origin, offset_ND):
    """Take features about an origin; return their squared lengths."""
    squares_N = np.empty(len(rows_ND), np.float32)
    for n in range(len(rows_ND)):
        row, offset = rows_ND[n], offset_ND[n]
        square = np.float32(0)
        for d in range(len(origin)):
            offset[d] = row[d] - origin[d]
            square += offset[d] * offset[d]
        squares_N[n] = square
    return squares_N


@njit(cache=True, nogil=True)
def _soften(product_NC, squares_N, squares_C, seen, temperature, weights_NC):
    """Turn -2 f.eta into softmax(-||f - eta|| / temperature), the nearest distance subtracted."""
    for n in range(len(product_NC)):
        row = product_NC[n]
        nearest = np.float32(np.inf)
        for c in range(len(row)):
            row[c] = np.sqrt(max(row[c] + squares_N[n] + squares_C[c], np.float32(0)))
            nearest = min(nearest, row[c])
        total = np.float32(0)
        for c in range(len(row)):
            row[c] = np.exp(np.float32((nearest - row[c]) / temperature))
            total += row[c]
        for c in range(len(row)):
            weights_NC[n, seen[c]] = row[c] / total


@njit(cache=True, nogil=True)
def _choose(probabilities_NC, weights_NC, labels_N):
    for n in range(len(labels_N)):
        best, product = 0, 0.0
        likely = 0
        for c in range(probabilities_NC.shape[1]):
            value = np.float64(weights_NC[n, c]) * np.float64(probabilities_NC[n, c])
            if value > product:
                best, product = c, value
            if probabilities_NC[n, c] > probabilities_NC[n, likely]:
                likely = c
        labels_N[n] = best if product > 0 else likely
