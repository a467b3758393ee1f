"""Prototypes that move with the teacher while the student trains, and what they ask of the student (ProDA)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg.labels import IGNORE
from udaseg.statistics.prototypes import distances, nearness
from udaseg.train.losses import at_grid, kl_consistency
from udaseg.train.objectives import DomainOutput, LossTerm


class MovingPrototypes(nn.Module):
    """Hold a prototype for each class, float32 [C, D], NaN for one never seen, that follows the features it is shown.

    They are buffers, so that they are saved and restored with the other modules of a training.
    """

    def __init__(self, centroids_CD: Tensor, momentum: float):
        super().__init__()
        self.rate = 1 - momentum
        self.register_buffer("centroids", centroids_CD.float())
        known_C = centroids_CD.isfinite().all(1)
        self.register_buffer("moves", torch.where(known_C, round(1 / self.rate), 0))

    @torch.no_grad()
    def move(self, features_NDhw: Tensor, labels_Nhw: Tensor) -> None:
        """Move the prototypes towards the mean features of the classes of each image, one image after the other.

        labels: int64 [N, h, w], 255 for none. eta <- momentum eta + (1 - momentum) v (ProDA, eq. 6); a class that was
        never seen takes the plain mean of what it is shown until an image counts for less than 1 - momentum in it.
        """
        classes = len(self.centroids)
        for features_Dhw, labels_hw in zip(features_NDhw.float(), labels_Nhw, strict=True):
            own_NC = functional.one_hot(torch.where(labels_hw == IGNORE, classes, labels_hw).flatten(), classes + 1)
            own_NC = own_NC[:, :classes].float()
            counts_C = own_NC.sum(0)
            means_CD = (own_NC.T @ features_Dhw.flatten(1).T) / counts_C.clamp(min=1)[:, None]
            rate_C1 = (1 / (self.moves + 1)).clamp(min=self.rate)[:, None]
            moved_CD = torch.where(self.moves[:, None] > 0, torch.lerp(self.centroids, means_CD, rate_C1), means_CD)
            shown_C = counts_C > 0
            self.centroids.copy_(torch.where(shown_C[:, None], moved_CD, self.centroids))
            self.moves += shown_C


def consistency(
    weight: float, temperature: float, centroids_CD: Tensor, weak_NChw: Tensor, clear_NHW: Tensor | None
) -> LossTerm:
    """Ask the student to be as near to the prototypes in its view as the teacher is in the weak one (ProDA, eq. 9).

    weak: the distances of the teacher's features. clear: bool, false where the views do not show the same. The
    term is the mean divergence of a pixel; ProDA's also divides by the number of classes, so its weight 10 is 10 / C.
    """

    def ask(seen: dict[str, DomainOutput]) -> dict[str, Tensor]:
        strong_NChw = distances(seen["target"].output.features, centroids_CD)
        where_Nhw = None if clear_NHW is None else ~at_grid(~clear_NHW, strong_NChw.shape[-2:])
        divergence = kl_consistency(nearness(strong_NChw, temperature), nearness(weak_NChw, temperature), where_Nhw)
        return {"consistency": weight * divergence}

    return ask
