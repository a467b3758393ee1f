"""Time the mean feature of each class: 256 features at stride 8, channels last as the network gives them."""

from collections.abc import Iterator

import numpy as np
import scene
import torch
from measure import Call, Row, relative

from udaseg.statistics.prototypes import Centroids

FEATURES = 256


def ours(features_NCHW: torch.Tensor, label_HW: np.ndarray) -> Call:
    def call() -> np.ndarray:
        running = Centroids(scene.CLASSES, FEATURES)
        running.add(features_NCHW.permute(0, 2, 3, 1), label_HW)
        return running.centroids()

    return call


def means(sums_CD: torch.Tensor, label_N: torch.Tensor) -> np.ndarray:
    return (sums_CD / label_N.bincount(minlength=256)[: scene.CLASSES, None]).numpy()


def by_one_hot(features_NCHW: torch.Tensor, label_HW: np.ndarray) -> Call:
    label_N = torch.from_numpy(label_HW).long().flatten()

    def call() -> np.ndarray:
        one_hot_NC = torch.nn.functional.one_hot(label_N, 256)[:, : scene.CLASSES].float()
        return means(one_hot_NC.T @ features_NCHW.permute(0, 2, 3, 1).reshape(-1, FEATURES), label_N)

    return call


def by_index_add(features_NCHW: torch.Tensor, label_HW: np.ndarray) -> Call:
    label_N = torch.from_numpy(label_HW).long().flatten()

    def call() -> np.ndarray:
        sums_CD = torch.zeros(256, FEATURES)
        sums_CD.index_add_(0, label_N, features_NCHW.permute(0, 2, 3, 1).reshape(-1, FEATURES))
        return means(sums_CD[: scene.CLASSES], label_N)

    return call


def rows(size: tuple[int, int]) -> Iterator[Row]:
    label_HW = np.ascontiguousarray(scene.pseudo_label(size)[::8, ::8])
    plain_NCHW = torch.randn(1, FEATURES, *label_HW.shape, generator=torch.Generator().manual_seed(0)) + 1
    features_NCHW = plain_NCHW.to(memory_format=torch.channels_last)
    is_present = np.bincount(label_HW.ravel(), minlength=256)[: scene.CLASSES] > 0

    def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        return relative(a[is_present], b[is_present])

    yield Row(
        f"prototypes of {FEATURES} features at {label_HW.shape[0]}x{label_HW.shape[1]}",
        ours(features_NCHW, label_HW),
        {
            "one-hot product": lambda: by_one_hot(features_NCHW, label_HW),
            "index_add": lambda: by_index_add(features_NCHW, label_HW),
            "index_add, channels first": lambda: by_index_add(plain_NCHW, label_HW),
        },
        features_NCHW.numpy().nbytes + label_HW.nbytes,
        difference,
        {"one-hot product": 1.5, "index_add": 1.5},
    )
