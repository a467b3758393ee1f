"""Moving prototypes: they follow the teacher's features of the target (ProDA)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from udaseg.labels import IGNORE
from udaseg.models.output import Output
from udaseg.statistics.prototype_distances import distances
from udaseg.train.ingredients.step import Step
from udaseg.train.losses import mask_at_grid


def move_prototypes(step: Step) -> None:
    """Measure the distances of the teacher's features to the prototypes, then move the prototypes.

    Later ingredients find the distances, and the prototypes from before the move, in the step.
    """
    prototypes, output = step.networks.prototypes, step.teacher_output
    step.centroids = prototypes.centroids.clone()
    step.distances = distances(output.features, step.centroids)
    prototypes.move(output.features, classify_features(output, step.batch.get("target_valid")))


def classify_features(output: Output, valid_NHW: Tensor | None) -> Tensor:
    """Return the class of every feature by the logits, int64 [N, h, w]; 255 outside the image."""
    classes_N1hw = output.logits.argmax(1, keepdim=True)
    grid = output.features.shape[2:]
    if classes_N1hw.shape[2:] != grid:
        classes_N1hw = interpolate(classes_N1hw.float(), grid, mode="nearest").long()
    valid_Nhw = mask_at_grid(valid_NHW, grid)
    return classes_N1hw[:, 0] if valid_Nhw is None else torch.where(valid_Nhw, classes_N1hw[:, 0], IGNORE)
