"""Foundation distance: the student's features stay near those of a foundation model, in both domains (VFM-UDA++)."""

from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from udaseg.data.batches import Batch
from udaseg.train.domains import DomainOutput, LossTerm
from udaseg.train.ingredients.step import Step
from udaseg.train.ingredients.strong import strong_view
from udaseg.train.losses import mask_at_grid, masked_mean, mean
from udaseg.train.objectives import FurtherPass

STREAM = 9  # of random values
DOMAIN = "unmixed"  # the target as it is, without pasted classes
LENGTHS, ANGLES = 0.1, 0.9  # the parts of the distance


class Projection(nn.Sequential):
    """Turn the student's last map into one that is compared to a foundation model's: D to D' channels.

    A layer for each of two 1x1 convolutions, the first one with four times the channels (VFM-UDA++).
    """

    def __init__(self, channels: int, foundation_channels: int):
        wide = 4 * channels
        super().__init__(
            nn.Conv2d(channels, wide, 1), LayerNorm2d(wide), nn.GELU(), nn.Conv2d(wide, foundation_channels, 1)
        )


def stay_near_foundation(step: Step) -> None:
    """Add the distance of the student's last map to the foundation model's, on the source and on the target.

    Where classes are pasted on the target, the target without them is a pass of its own. The student may see other
    colours of the target than the foundation model.
    """
    batch, settings, images_NHWC = step.batch, step.settings, step.weak_images
    if "source_image" in batch:
        step.source_terms.append(_distance_term(step, "source", "source", batch["source_image"]))
    if not settings.classmix:
        step.terms.append(_distance_term(step, "target", "target", images_NHWC))
        return
    shown_NHWC, valid_NHW = images_NHWC, batch.get("target_valid")
    if settings.strong is not None:
        shown_NHWC = strong_view(images_NHWC, settings.strong, step.own_rng(STREAM), valid_NHW)
    further = Batch({f"{DOMAIN}_image": shown_NHWC})
    if valid_NHW is not None:
        further[f"{DOMAIN}_valid"] = valid_NHW
    step.passes.append(FurtherPass(DOMAIN, further, terms=[_distance_term(step, DOMAIN, "target", images_NHWC)]))


def _distance_term(step: Step, domain: str, name: str, images_NHWC: Tensor) -> LossTerm:
    weight, projection = step.settings.foundation.weight, step.networks.projection
    frozen_NDhw = step.networks.foundation.last_map(images_NHWC)
    grid = frozen_NDhw.shape[-2:]

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        student = outputs[domain]
        projected_NDhw = functional.interpolate(projection(student.output.deep.float()), size=grid, mode="bilinear")
        distance_Nhw = distances(projected_NDhw, frozen_NDhw)
        valid_Nhw = mask_at_grid(student.valid, grid)
        mean_distance = mean(distance_Nhw) if valid_Nhw is None else masked_mean(distance_Nhw, valid_Nhw)
        return {f"foundation_{name}": weight * mean_distance}

    return term


def distances(student_NDhw: Tensor, foundation_NDhw: Tensor) -> Tensor:
    """Return 0.1 of the smooth L1 distance, a mean over the channels, plus 0.9 of 1 - cosine: float32 [N, h, w]."""
    length_Nhw = functional.smooth_l1_loss(student_NDhw, foundation_NDhw, reduction="none").mean(1)
    return LENGTHS * length_Nhw + ANGLES * (1 - functional.cosine_similarity(student_NDhw, foundation_NDhw, dim=1))
