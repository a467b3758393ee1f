"""The detail of a network with two resolutions in training: its place, and its losses beside the fused ones (HRDA)."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from udaseg.config import HxW
from udaseg.models.network import Network
from udaseg.models.output import Output
from udaseg.models.windows import Box
from udaseg.train.losses import LabelLosses, leave_out, upsample

STREAM = 10  # of random values

# From the (height, width) of a batch's images to the place of their detail; None for networks with one resolution.
PlaceDetail = Callable[[HxW], Box | None]


def place_detail(model: Network, seed: int, step: int, number: int) -> PlaceDetail:
    """Return the place of the detail in pass `number` of a step, as a function of the images' size.

    The place depends on the arguments alone: every part of a batch, and every process, has the same one.
    """

    def place(size: HxW) -> Box | None:
        if model.resolutions is None:
            return None
        return model.resolutions.draw_box(size, np.random.default_rng((seed, STREAM, step, number)))

    return place


def weigh_resolutions(
    losses: LabelLosses,
    output: Output,
    weight: float,
    align_corners: bool,
    full_NCHW: Tensor,
    label_NHW: Tensor,
    image_NHWC: Tensor,
    pixels_NHW: Tensor | None,
    missing: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the losses on the fused logits times 1 - weight, and those on the detail's times the weight (HRDA).

    `full` are the fused logits at the size of the images. The losses on the detail see the part of the labels, of the
    images and of the pixels' weights that lies in its box; their names end with `_detail`. `missing` as in
    `losses.leave_out`; the fused logits lack these classes already.
    """
    box = output.box
    if missing is not None and missing.shape[-1] > 1:
        missing = box.crop(missing)
    fused = losses(full_NCHW, label_NHW, image_NHWC, pixels_NHW)
    detail = losses(
        leave_out(upsample(output.detail, (box.height, box.width), align_corners), missing),
        box.crop(label_NHW),
        box.crop(image_NHWC.movedim(3, 1)).movedim(1, 3),
        None if pixels_NHW is None else box.crop(pixels_NHW),
    )
    named = {f"{name}_detail": weight * loss for name, loss in detail.items()}
    return {name: (1 - weight) * loss for name, loss in fused.items()} | named
