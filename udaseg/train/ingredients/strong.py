"""The strong view: the student sees the target in other colours, and blurred, than the teacher."""

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from udaseg.config import Strong
from udaseg.train.ingredients.step import Step

KERNEL = 9  # pixels on a side: four standard deviations of the widest blur


def change_colours(step: Step) -> None:
    """Change the colours of the target images at random, and blur some."""
    image_NHWC, valid_NHW = step.batch["target_image"], step.batch.get("target_valid")
    step.batch["target_image"] = strong_view(image_NHWC, step.settings.strong, step.rng, valid_NHW)


def strong_view(
    images_NHWC: Tensor, settings: Strong, rng: np.random.Generator, valid_NHW: Tensor | None = None
) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image at random, then blur some: uint8 [N, H, W, 3].

    The same changes as `data.augment.distort`, on the device of the images. valid: bool [N, H, W]; other pixels stay
    black and do not count for the contrast. The number of random values does not depend on the settings.
    """
    views = []
    for i, image_HWC in enumerate(images_NHWC):
        valid_HW = None if valid_NHW is None else valid_NHW[i]
        changes, blur_draw, sigma = rng.uniform(-1.0, 1.0, 4), rng.random(), rng.uniform(0.15, 1.15)
        image_CHW = image_HWC.permute(2, 0, 1)
        if settings.jitter > 0.0:
            brightness, contrast, saturation, hue = (float(change) for change in changes * settings.jitter)
            image_CHW = functional.adjust_brightness(image_CHW, 1 + brightness)
            image_CHW = _adjust_contrast(image_CHW, 1 + contrast, valid_HW)
            image_CHW = functional.adjust_saturation(image_CHW, 1 + saturation)
            image_CHW = functional.adjust_hue(image_CHW, hue / 4)  # in turns
        if blur_draw < settings.blur:
            image_CHW = functional.gaussian_blur(image_CHW, [KERNEL, KERNEL], [float(sigma)])
        if valid_HW is not None:
            image_CHW = image_CHW * valid_HW
        views.append(image_CHW.permute(1, 2, 0))
    return torch.stack(views)


def _adjust_contrast(image_CHW: Tensor, factor: float, valid_HW: Tensor | None) -> Tensor:
    """Adjust the contrast as torchvision does, but around the mean of the valid pixels."""
    grey_HW = functional.rgb_to_grayscale(image_CHW)[0]
    mean = (grey_HW if valid_HW is None else grey_HW[valid_HW]).float().mean()
    return (mean + factor * (image_CHW - mean)).clamp(0, 255).round().to(torch.uint8)
