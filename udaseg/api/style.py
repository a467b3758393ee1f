"""The style of images: Fourier domain adaptation."""

from __future__ import annotations

from typing import Literal

import numpy as np

from udaseg.api.arrays import ArrayOrTensor, is_tensor, match_kind, require_filled, require_shape, to_array
from udaseg.data.style.fda import low_band, stylize
from udaseg.errors import UdasegError


def fda(
    source: ArrayOrTensor, target: ArrayOrTensor, beta: float = 0.01, window: Literal["square", "rect"] = "square"
) -> ArrayOrTensor:
    """Give source images the low-frequency amplitudes of target images, and so their style.

    Both are uint8 of one shape: an array [H, W, 3], or a tensor [3, H, W] or [N, 3, H, W]. Returns uint8 of that shape,
    clipped to 0 to 255. beta, 0 to 1, is the half width of the window of frequencies, as a share of the shorter side;
    with the window "rect", of each side. At 0 nothing changes. Raises UdasegError for other shapes and dtypes, an
    empty batch, and a beta out of range. Source: Yang and Soatto, FDA, CVPR 2020, eq. 3 to 5.
    """
    for name, images in (("source", source), ("target", target)):
        layouts = ("3 H W", "N 3 H W") if is_tensor(images) else ("H W 3",)
        require_shape(name, images, *layouts, hint="images are [H, W, 3] as arrays, [3, H, W] as tensors")
        require_filled(name, images)
        dtype = to_array(name, images).dtype
        if dtype != np.uint8:
            raise UdasegError(f"{name} is {dtype}, expected uint8 from 0 to 255", "restyle images before normalisation")
    if tuple(source.shape) != tuple(target.shape) or is_tensor(source) != is_tensor(target):
        raise UdasegError(
            f"source is {_describe(source)}, target is {_describe(target)}, expected one kind and one shape",
            "resize or crop both to the same height and width first",
        )
    if not is_tensor(source):
        styled_HWC = stylize(to_array("source", source), low_band(to_array("target", target), beta, window))
        return match_kind(styled_HWC, source)
    height, width = source.shape[-2:]
    pairs = zip(*(to_array("images", images).reshape(-1, 3, height, width) for images in (source, target)), strict=True)
    styled = [
        stylize(_channels_last(own), low_band(_channels_last(other), beta, window)).transpose(2, 0, 1)
        for own, other in pairs
    ]
    return match_kind(np.stack(styled).reshape(source.shape), source)


def _describe(images: ArrayOrTensor) -> str:
    return f"{'a tensor' if is_tensor(images) else 'an array'} {list(images.shape)}"


def _channels_last(image_CHW: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
