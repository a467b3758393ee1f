"""Prototypes that follow the features of the target while the student trains (ProDA)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg.labels import IGNORE


class MovingPrototypes(nn.Module):
    """Hold a prototype of each class, float32 [C, D], and move it with the features of its class.

    A row of NaN marks a class without a prototype. The prototypes are buffers, so they are saved and restored with
    the other modules of a training.
    """

    centroids: Tensor
    moves: Tensor

    def __init__(self, centroids_CD: Tensor, momentum: float):
        super().__init__()
        self.rate = 1 - momentum
        self.register_buffer("centroids", centroids_CD.float())
        known_C = centroids_CD.isfinite().all(1)
        self.register_buffer("moves", torch.where(known_C, round(1 / self.rate), 0))

    @torch.no_grad()
    def move(self, features_NDhw: Tensor, labels_Nhw: Tensor) -> None:
        """Move the prototypes towards the mean features of the classes of each image, image by image.

        labels: int64 [N, h, w], 255 ignored. eta <- momentum eta + (1 - momentum) v (ProDA, eq. 6). A class that had
        no prototype first takes the plain mean of its images, until each counts for less than 1 - momentum.
        """
        classes = len(self.centroids)
        for features_Dhw, labels_hw in zip(features_NDhw.float(), labels_Nhw, strict=True):
            members_NC = functional.one_hot(torch.where(labels_hw == IGNORE, classes, labels_hw).flatten(), classes + 1)
            members_NC = members_NC[:, :classes].float()
            counts_C = members_NC.sum(0)
            means_CD = (members_NC.T @ features_Dhw.flatten(1).T) / counts_C.clamp(min=1)[:, None]
            rate_C1 = (1 / (self.moves + 1)).clamp(min=self.rate)[:, None]
            moved_CD = torch.where(self.moves[:, None] > 0, torch.lerp(self.centroids, means_CD, rate_C1), means_CD)
            present_C = counts_C > 0
            self.centroids.copy_(torch.where(present_C[:, None], moved_CD, self.centroids))
            self.moves += present_C
