"""Distances of features to prototypes, and logits rectified by them, on tensors (ProDA).

Zhang et al., CVPR 2021, eq. 4 to 6: classes are weighed by the distance of the feature to their prototypes,
label = argmax_k w_k p_k with w = softmax(-||f - eta|| / tau). The distance is not squared.
"""

import torch
from torch import Tensor

from udaseg.errors import UdasegError

FAR = 1e30  # the distance to the prototype of an unseen class, whose weight is 0
UNSEEN_CLASS_DISTANCE = 1e4  # in temperatures: how much farther an unseen class is than any other
NEAR = 1e-12  # the least square of a distance


def distances(features_NDhw: Tensor, centroids_CD: Tensor) -> Tensor:
    """Return the distances ||f - eta_k||_2 of all features to all prototypes: float32 [N, C, h, w] (ProDA, eq. 5).

    The distance to a class without a prototype (a row of NaN) is FAR; where no class has one, all distances are 0.
    Raises UdasegError for features of another dimension.
    """
    if features_NDhw.shape[1] != centroids_CD.shape[1]:
        raise UdasegError(
            f"features of {features_NDhw.shape[1]} values, prototypes of {centroids_CD.shape[1]}",
            "compute the prototypes with this model (`udaseg prototypes`)",
        )
    known_C = centroids_CD.isfinite().all(1)
    # |f|^2 - 2 f.eta + |eta|^2 cancels far from the origin, so the mean of the prototypes is subtracted first.
    # The known ones are sorted to the front, and zeros follow: to select them would make the host wait for a GPU.
    order_C = (~known_C).int().argsort(stable=True)
    origin_D = torch.where(known_C[:, None], centroids_CD, 0.0)[order_C].sum(0) / known_C.sum().clamp(min=1)
    eta_CD = torch.where(known_C[:, None], centroids_CD - origin_D, 0.0)
    offset_NDhw = features_NDhw.float() - origin_D[:, None, None]
    product_NChw = torch.einsum("ndhw,cd->nchw", offset_NDhw, eta_CD)
    squares_NChw = offset_NDhw.square().sum(1, keepdim=True) - 2 * product_NChw + eta_CD.square().sum(1)[:, None, None]
    # The root has no slope at 0.
    distances_NChw = torch.where(known_C[:, None, None], squares_NChw.clamp(min=NEAR).sqrt(), FAR)
    return torch.where(known_C.any(), distances_NChw, 0.0)


def nearness(distances_NChw: Tensor, temperature: float) -> Tensor:
    """Return the logits whose softmax is w: -distance / temperature; far below all others for an unseen class."""
    known_NChw = distances_NChw < FAR / 2  # after interpolation they differ from FAR in the last bits
    away_NChw = torch.where(known_NChw, distances_NChw, 0.0) / temperature
    # A finite number, so that logits can be added to it; its weight is 0.
    return -torch.where(known_NChw, away_NChw, away_NChw.amax() + UNSEEN_CLASS_DISTANCE)


def rectified(logits_NChw: Tensor, distances_NChw: Tensor, temperature: float = 1.0) -> Tensor:
    """Return logits, float32 [N, C, h, w], whose softmax is w p, renormalised (ProDA, eq. 4).

    w = softmax(-distance / temperature). Logarithms are added, so nothing underflows. Where all classes are equally
    near, the result is p.
    """
    return logits_NChw.float() + nearness(distances_NChw, temperature)
