"""Prototypes: the mean feature of each class (ProDA), and their file prototypes.h5."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from udaseg.config import Predict
from udaseg.data.augment import resize_label
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.io import hdf5
from udaseg.labels import IGNORE, ClassSpace
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress

Part = tuple[View, Callable[[int], np.ndarray]]

_RERUN = "write it again with `udaseg prototypes --force`"


class Centroids:
    """The sums of features by class, float64 [C, D], and their counts, int64 [C]; parts add up."""

    def __init__(self, classes: int, dimension: int):
        self.sums = np.zeros((classes, dimension))
        self.counts = np.zeros(classes, np.int64)

    def add(self, features: Any, labels: np.ndarray) -> None:
        """Add features [..., D], an array or a tensor with the channels last, of the uint8 labels [...].

        Contiguous float32 features are not copied: `permute(0, 2, 3, 1)` of an NCHW tensor in channels_last format is
        such a view. Labels of no class are skipped. Raises UdasegError where the sizes do not match.
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
        """Return the mean feature of each class, float32 [C, D]; NaN for an unseen class, not the origin."""
        with np.errstate(invalid="ignore"):
            return (self.sums / self.counts[:, None]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Centroids float32 [C, D] (NaN for an unseen class), counts int64 [C], and the origin of the features.

    `layer` and `model` (a digest) name the layer and the network that gave the features. With the features of another
    network they mean nothing.
    """

    centroids: np.ndarray
    counts: np.ndarray
    classes: tuple[str, ...]
    layer: str
    model: str


def gather(
    model: Path,
    space: ClassSpace,
    parts: Sequence[Part],
    settings: Predict,
    *,
    digest: str,
    correct: bool = False,
    progress: Progress | None = None,
) -> tuple[Prototypes, dict[str, Any]]:
    """Average the features of every class; return the prototypes and the manifest's environment.

    A part is a view of images and the reader of their labels (index to uint8 [H, W]). With `adabn` batch norm first
    estimates its statistics on each part. Labels are resized to the grid of the features by the nearest pixel; ignored
    pixels are skipped, and with `correct` those to which the model gives another class. `digest` is that of the model.
    `progress` gets (done, total) in passes over an image: one, or two with `adabn`.
    """
    from udaseg.inference.runner import Runner

    runner = Runner(model, space.classes, settings.precision)
    sums = Centroids(len(space), runner.model.feature_channels)
    done, total = 0, (2 if settings.adabn else 1) * sum(len(view.images) for view, _ in parts)

    def step(count: int) -> None:
        if progress is not None:
            progress(min(count, total), total)

    for view, label in parts:
        if settings.adabn:
            first_pass = lambda count, _, before=done: step(before + count)  # noqa: E731
            is_stem = settings.adabn == "stem"
            runner.adapt_statistics(view, settings.batch, first_pass, stem=is_stem, windows=settings)
            done += len(view.images)
        blocks = processes.blocks(len(view.images), settings.batch)
        sums_BCD, counts_BC = np.zeros((len(blocks), *sums.sums.shape)), np.zeros((len(blocks), len(space)), np.int64)
        for b in processes.shard(range(len(blocks))):
            block = Centroids(len(space), runner.model.feature_channels)
            for batch in runner.run(view, blocks[b], settings.batch, label=label):
                maps = zip(batch.labels, batch.output.features, batch.output.logits, strict=True)
                for label_HW, features_DHW, logits_CHW in maps:
                    features_HWD = features_DHW.permute(1, 2, 0).contiguous()
                    label_HW = resize_label(label_HW, tuple(features_HWD.shape[:2]))
                    if correct:
                        label_HW = _where_predicted(label_HW, logits_CHW.argmax(0).byte().cpu().numpy())
                    block.add(features_HWD.cpu().float(), label_HW)
                done += len(batch.indices) * processes.count()
                step(done)
            sums_BCD[b], counts_BC[b] = block.sums, block.counts
        for sums_CD, counts_C in zip(processes.sum_of_all(sums_BCD), processes.sum_of_all(counts_BC), strict=True):
            sums.sums += sums_CD
            sums.counts += counts_C
    return Prototypes(sums.centroids(), sums.counts, space.classes, "features", digest), runner.environment


def _where_predicted(label_HW: np.ndarray, predicted_HW: np.ndarray) -> np.ndarray:
    """Return a label where a prediction, of any size, has its class, and 255 elsewhere."""
    return np.where(label_HW == resize_label(predicted_HW, label_HW.shape), label_HW, np.uint8(IGNORE))


def write(path: Path, prototypes: Prototypes) -> None:
    """Write prototypes.h5 in one piece: `centroids`, `counts` and the attributes `classes`, `layer` and `model`.

    Equal prototypes give equal bytes.
    """
    with hdf5.create(path) as file:
        hdf5.write_text(file.attrs, "classes", prototypes.classes)
        hdf5.write_text(file.attrs, "layer", prototypes.layer)
        hdf5.write_text(file.attrs, "model", prototypes.model)
        hdf5.write_array(file, "centroids", prototypes.centroids.astype(np.float32))
        hdf5.write_array(file, "counts", prototypes.counts.astype(np.int64))


def read(path: Path) -> Prototypes:
    """Read prototypes.h5. Raises UdasegError for a missing or damaged file."""
    with hdf5.open_to_read(path, "prototypes", _RERUN) as file:
        centroids = hdf5.read_array(file, "centroids").astype(np.float32)
        counts = hdf5.read_array(file, "counts").astype(np.int64)
        classes = hdf5.read_names(file.attrs, "classes")
        layer, model = hdf5.read_text(file.attrs, "layer"), hdf5.read_text(file.attrs, "model")
    if centroids.ndim != 2 or len(centroids) != len(classes) or counts.shape != (len(classes),):
        raise UdasegError(
            f"{path}: centroids {centroids.shape} and counts {counts.shape} do not fit {len(classes)} classes, "
            "expected [C, D] and [C]",
            _RERUN,
        )
    if not np.isfinite(centroids[counts > 0]).all() or (counts < 0).any():
        raise UdasegError(f"{path}: a centroid is not finite, or a count is negative", _RERUN)
    return Prototypes(centroids, counts, classes, layer, model)


def read_prototypes_of(path: Path, model: Path, digest: str) -> Prototypes:
    """Read prototypes.h5 for a model with a digest; raises UdasegError where they are those of another model."""
    prototypes = read(path)
    if prototypes.model != digest:
        raise UdasegError(
            f"{path} holds the prototypes of another model than {model}",
            f"compute its own with `udaseg prototypes --model {shlex.quote(str(model))} --out own-prototypes`, "
            "and name them with --prototypes-file own-prototypes",
        )
    return prototypes


def _rows(features: Any) -> np.ndarray:
    """View an array or a tensor [..., D] as float32 rows [N, D], without a copy where possible."""
    if hasattr(features, "detach"):
        features = features.detach().float().cpu().contiguous().numpy()
    return np.ascontiguousarray(features, np.float32).reshape(-1, features.shape[-1])


@njit(cache=True, nogil=True)
def _accumulate(rows_ND, labels_N, sums_CD, counts_C):
    n = 0
    while n < len(labels_N):
        label = labels_N[n]
        alike = 1
        while alike < 4 and n + alike < len(labels_N) and labels_N[n + alike] == label:
            alike += 1
        if label < len(counts_C):
            counts_C[label] += alike
            total = sums_CD[label]
            # Neighbours mostly have one label. Four rows share one way to the sums and back, added in the same order.
            if alike == 4:
                for d in range(len(total)):
                    total[d] = total[d] + rows_ND[n, d] + rows_ND[n + 1, d] + rows_ND[n + 2, d] + rows_ND[n + 3, d]
            else:
                for k in range(n, n + alike):
                    for d in range(len(total)):
                        total[d] += rows_ND[k, d]
        n += alike
