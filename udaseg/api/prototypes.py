"""Prototypes: the mean feature of each class, distances to them, and logits rectified by them (ProDA)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from udaseg.api.arrays import Values, is_tensor, require_shape, require_tensors, to_array, to_labels
from udaseg.errors import UdasegError
from udaseg.statistics import prototype_distances as proda
from udaseg.statistics import prototypes
from udaseg.train import moving_prototypes


class Centroids(prototypes.Centroids):
    """The mean feature of each class over any number of images: `add` them one after the other.

    `sums` float64 [C, D] and `counts` int64 [C] are over all of them; `a.merge(b)` adds those of another part of the
    data. `centroids()` returns float32 [C, D], NaN for a class without a feature. Source: Zhang et al., ProDA, CVPR
    2021.
    """

    def add(self, features: Values, labels: Values) -> None:
        """Add features, a tensor [N, D, h, w] or an array [..., D], and their classes, [N, h, w] or [...].

        255 is left out. Raises UdasegError for other shapes, another D, and ids of no class.
        """
        ids = to_labels("labels", labels, len(self.counts))
        if is_tensor(features):
            require_shape("features", features, "N D h w")
            features = features.permute(0, 2, 3, 1)
        else:
            features = to_array("features", features)
        if features.shape[:-1] != ids.shape:
            raise UdasegError(
                f"labels are {list(ids.shape)} for features of {list(features.shape[:-1])}, expected one size",
                "resample the labels to the grid of the features, nearest",
            )
        super().add(features, ids)


class MovingPrototypes(moving_prototypes.MovingPrototypes):
    """Prototypes that follow the features of a training: `move` them at every step.

    `centroids`, float [C, D], is where they start, NaN for a class without one; as a buffer of that name they are saved
    with the module. A step keeps a share `momentum` of each. Raises UdasegError for other shapes, and for a momentum
    that is not from 0 to below 1. Source: ProDA, eq. 6.
    """

    def __init__(self, centroids: np.ndarray | Tensor, momentum: float = 0.9999):
        require_shape("centroids", centroids, "C D")
        if not 0 <= momentum < 1:
            raise UdasegError(f"momentum is {momentum}, expected 0 to below 1", "0.9999 is that of ProDA")
        super().__init__(torch.as_tensor(centroids).detach().clone(), momentum)  # `move` writes to them

    def move(self, features: Tensor, labels: Tensor) -> None:
        """Move each prototype towards the mean of the features [N, D, h, w] of its class, image by image.

        labels are ids [N, h, w], 255 for no class. Raises UdasegError for other shapes and ids.
        """
        require_tensors(features=features, labels=labels)
        classes, dimension = self.centroids.shape
        require_shape("features", features, f"N {dimension} h w")
        require_shape("labels", labels, f"{len(features)} {features.shape[2]} {features.shape[3]}")
        to_labels("labels", labels, classes)
        super().move(features, labels.long())


def prototype_distances(features: Tensor, centroids: np.ndarray | Tensor) -> Tensor:
    """Return the Euclidean distances of all features to all prototypes: float32 [N, C, h, w].

    features is [N, D, h, w], centroids [C, D]. The distance to a class without a prototype (NaN) is 1e30. There is a
    gradient for the features. Raises UdasegError for other shapes. Source: ProDA, eq. 5.
    """
    require_tensors(features=features)
    require_shape("features", features, "N D h w")
    require_shape("centroids", centroids, f"C {features.shape[1]}")
    return proda.distances(features, torch.as_tensor(centroids, dtype=torch.float32, device=features.device))


def rectify(logits: Tensor, distances: Tensor, temperature: float = 1.0, align_corners: bool = False) -> Tensor:
    """Return logits, float32 [N, C, h, w], whose softmax is w p, with w = softmax(-distance / temperature).

    logits are [N, C, h, w], and p is their softmax; distances are those of `prototype_distances`, enlarged bilinearly
    where their grid is another one. Raises UdasegError for other shapes, and for a temperature that is not above 0.
    Source: ProDA, eq. 4.
    """
    require_tensors(logits=logits, distances=distances)
    require_shape("logits", logits, "N C h w")
    require_shape("distances", distances, f"{logits.shape[0]} {logits.shape[1]} h w")
    if not temperature > 0:
        raise UdasegError(f"temperature is {temperature}, expected a number above 0", "ProDA has 1")
    distances = distances.float()
    if distances.shape[2:] != logits.shape[2:]:
        size = [int(side) for side in logits.shape[2:]]
        distances = interpolate(distances, size, mode="bilinear", align_corners=align_corners)
    return proda.rectified(logits, distances, temperature)
