"""Consistency: the student's features are as near to each prototype as the teacher's (ProDA, section 3.3)."""

from torch import Tensor

from udaseg.statistics.prototype_distances import distances, nearness
from udaseg.train.domains import DomainOutput, LossTerm
from udaseg.train.ingredients.step import Step
from udaseg.train.losses import kl_consistency, mask_at_grid


def compare_views(step: Step) -> None:
    """Add the loss between the distances to the prototypes in the student's view and in the teacher's."""
    settings = step.settings
    step.terms.append(
        consistency(settings.consistency, settings.temperature, step.centroids, step.distances, step.unchanged)
    )


def consistency(
    weight: float, temperature: float, centroids_CD: Tensor, teacher_NChw: Tensor, unchanged_NHW: Tensor | None
) -> LossTerm:
    """Return the divergence of the student's softmax over distances to prototypes from the teacher's (ProDA, eq. 9).

    teacher: the distances of the teacher's features. unchanged: bool, false where the two views show another scene.
    The term is the mean over the pixels. ProDA also divides by the number of classes C, so its weight 10 is 10 / C.
    """

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        student_NChw = distances(outputs["target"].output.features, centroids_CD)
        unchanged_Nhw = None if unchanged_NHW is None else ~mask_at_grid(~unchanged_NHW, student_NChw.shape[-2:])
        student, teacher = nearness(student_NChw, temperature), nearness(teacher_NChw, temperature)
        return {"consistency": weight * kl_consistency(student, teacher, unchanged_Nhw)}

    return term
