"""Average what a network says of several views of an image: scales, and the mirror image."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


@torch.inference_mode()
def averaged(views: Sequence[Tensor], size: tuple[int, int], average: str, align_corners: bool) -> Tensor:
    """Bring the logits of all views to (height, width), bilinearly, and average them: float32 [N, C, H, W].

    views are float32 [N, C, h, w], each of its own height and width. `logits` averages the logits, as CRST does in
    testing; `probs` gives the logarithm of the averaged softmax, as CRST does for pseudo-labels. The two differ on
    ambiguous pixels. Averaging probabilities at a coarse size and upsampling their logarithm is not the same as
    averaging at the full size; with logits it is.
    """
    total: Tensor | None = None
    for view_NChw in views:
        full_NCHW = view_NChw
        if tuple(view_NChw.shape[-2:]) != tuple(size):
            full_NCHW = interpolate(view_NChw, size=tuple(size), mode="bilinear", align_corners=align_corners)
        if average == "probs":
            full_NCHW = full_NCHW.softmax(1)
        total = torch.zeros_like(full_NCHW).add_(full_NCHW) if total is None else total.add_(full_NCHW)
    assert total is not None, "there is no view"
    total /= len(views)
    return total.clamp_(min=torch.finfo(total.dtype).tiny).log_() if average == "probs" else total
