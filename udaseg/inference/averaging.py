"""Average the logits of several views of an image: scales, and the mirror image."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


@torch.inference_mode()
def average_views(views: Sequence[Tensor], size: tuple[int, int], average: str, align_corners: bool) -> Tensor:
    """Resize the logits of all views to (height, width), bilinearly, and average them: float32 [N, C, H, W].

    `views` are float32 [N, C, h, w], each with its own height and width. With `average` "logits" the result is the
    mean of the logits, as CRST tests. With "probs" it is the logarithm of the mean softmax, as CRST makes
    pseudo-labels. Logits may be averaged at a coarse size and upsampled later, with the same result; probabilities not.
    """
    total: Tensor | None = None
    for view_NChw in views:
        full_NCHW = view_NChw
        if tuple(view_NChw.shape[-2:]) != tuple(size):
            full_NCHW = interpolate(view_NChw, size=tuple(size), mode="bilinear", align_corners=align_corners)
        if average == "probs":
            full_NCHW = full_NCHW.softmax(1)
        total = torch.zeros_like(full_NCHW).add_(full_NCHW) if total is None else total.add_(full_NCHW)
    assert total is not None, "average_views needs at least one view"
    total /= len(views)
    return logarithms(total) if average == "probs" else total


def logarithms(probabilities: Tensor) -> Tensor:
    """Turn probabilities into their logarithms, in place; those that have underflowed stay finite."""
    return probabilities.clamp_(min=torch.finfo(probabilities.dtype).tiny).log_()
