"""What is measured of a prediction without labels: confidence, entropies, and the distance from the first model."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from udaseg.inference.averaging import average_views


class Prediction(NamedTuple):
    """Measures of one frame: `udaseg.io.documents.adaptation.FrameRecord` describes them."""

    confidence: float
    entropy: float
    marginal_entropy: float
    kl: float | None


def entropy(probabilities: Tensor, dim: int = 1) -> Tensor:
    """Return the entropy over the classes, in nats: -sum p log p. Of [N, C, h, w] it is [N, h, w]."""
    return torch.special.entr(probabilities).sum(dim)


@torch.inference_mode()
def probabilities(views: Sequence[Tensor], average: str, align_corners: bool) -> Tensor:
    """Return the softmax of the average of a frame's views, float32 [1, C, h, w], on the grid of the first view."""
    height, width = views[0].shape[-2:]
    return average_views(views, (height, width), average, align_corners).softmax(1)


@torch.inference_mode()
def measure(probabilities_1Chw: Tensor, first_1Chw: Tensor | None) -> Prediction | None:
    """Measure the prediction of a frame, float32 [1, C, h, w]; `first` is that of the first model, None if the same.

    Return None for a prediction that is not finite.

    The divergence is KL(p || first) = sum p log(p / first), the mean over the pixels. It grows without bound where the
    prediction is sure of a class that the first model excludes, as after a collapse.
    """
    if not torch.isfinite(probabilities_1Chw).all():
        return None
    # Sums over an image, in float64: the same on any number of threads, to the digits that are kept.
    p = probabilities_1Chw.double()
    kl = 0.0
    if first_1Chw is not None:
        tiny = torch.finfo(torch.float32).tiny
        q = first_1Chw.double().clamp(min=tiny)
        kl = max(0.0, float((p * (p.clamp(min=tiny).log() - q.log())).sum(1).mean()))
    mean_C = p.mean((0, 2, 3))
    measures = (p.amax(1).mean(), entropy(p).mean(), entropy(mean_C / mean_C.sum(), 0))
    confidence, of_pixels, of_mean = (round(float(value), 9) for value in measures)
    return Prediction(min(confidence, 1.0), max(of_pixels, 0.0), max(of_mean, 0.0), round(kl, 9))
