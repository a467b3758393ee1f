"""The strong view: the student sees the target in other colours, and blurred, than the teacher."""

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from udaseg.config import Strong
from udaseg.train.ingredients.step import Step
from udaseg.train.losses import chosen_mean

KERNEL = 9  # pixels on a side: four standard deviations of the widest blur


def change_colours(step: Step) -> None:
    """Change the colours of the target images at random, and blur some."""
    image_NHWC, valid_NHW = step.batch["target_image"], step.batch.get("target_valid")
    step.batch["target_image"] = strong_view(image_NHWC, step.settings.strong, step.rng, valid_NHW)


def strong_view(
    images_NHWC: Tensor, settings: Strong, rng: np.random.Generator, valid_NHW: Tensor | None = None
) -> Tensor:
    """Change brightness, contrast, saturation and hue of some images at random, then blur some: uint8 [N, H, W, 3].

    valid: bool [N, H, W]; other pixels stay black and do not count for the contrast. The number of random values does
    not depend on the settings.
    """
    views = []
    [added_rng] = rng.spawn(1)  # for values that were added later: those of `rng` stay the same
    for i, image_HWC in enumerate(images_NHWC):
        valid_HW = None if valid_NHW is None else valid_NHW[i]
        changes, blur_draw, sigma = rng.uniform(-1.0, 1.0, 4), rng.random(), rng.uniform(0.15, 1.15)
        colour_draw, order = added_rng.random(), added_rng.permutation(4)
        image_CHW = image_HWC.permute(2, 0, 1)
        if settings.changes_colours and colour_draw < settings.probability:
            strengths = [settings.jitter] * 3 + [settings.hue_turns]
            values = [float(change * strength) for change, strength in zip(changes, strengths, strict=True)]
            if settings.method == "dacs":
                image_CHW = _change_as_dacs(image_CHW, values, order)
            else:
                image_CHW = _change_as_torchvision(image_CHW, values, valid_HW)
        if blur_draw < settings.blur:
            image_CHW = functional.gaussian_blur(image_CHW, [KERNEL, KERNEL], [float(sigma)])
        if valid_HW is not None:
            image_CHW = image_CHW * valid_HW
        views.append(image_CHW.permute(1, 2, 0))
    return torch.stack(views)


def _change_as_torchvision(image_CHW: Tensor, values: list[float], valid_HW: Tensor | None) -> Tensor:
    """Change the colours as `data.augment.distort` does; the hue changes by turns."""
    brightness, contrast, saturation, hue = values
    image_CHW = functional.adjust_brightness(image_CHW, 1 + brightness)
    image_CHW = _adjust_contrast(image_CHW, 1 + contrast, valid_HW)
    image_CHW = functional.adjust_saturation(image_CHW, 1 + saturation)
    return functional.adjust_hue(image_CHW, hue)


def _adjust_contrast(image_CHW: Tensor, factor: float, valid_HW: Tensor | None) -> Tensor:
    """Adjust the contrast as torchvision does, but around the mean of the valid pixels."""
    grey_HW = functional.rgb_to_grayscale(image_CHW)[0]
    values_HW = grey_HW.float()
    mean = values_HW.mean() if valid_HW is None else chosen_mean(values_HW, valid_HW)
    return (mean + factor * (image_CHW - mean)).clamp(0, 255).round().to(torch.uint8)


def _change_as_dacs(image_CHW: Tensor, values: list[float], order: np.ndarray) -> Tensor:
    """Change the colours as DACS and DAFormer do, in a random order, of values from 0 to 1.

    Brightness is added, contrast is a factor of the image, saturation one of HSV's, and the hue changes by turns.
    """
    brightness, contrast, saturation, hue = values
    changes = (
        lambda rgb_CHW: (rgb_CHW + brightness).clamp(0, 1),
        lambda rgb_CHW: (rgb_CHW * (1 + contrast)).clamp(0, 1),
        lambda rgb_CHW: _saturate(rgb_CHW, 1 + saturation),
        lambda rgb_CHW: functional.adjust_hue(rgb_CHW, hue),
    )
    rgb_CHW = image_CHW / 255
    for index in order:
        rgb_CHW = changes[index](rgb_CHW)
    return (rgb_CHW * 255).round().clamp(0, 255).to(torch.uint8)


def _saturate(rgb_CHW: Tensor, factor: float) -> Tensor:
    """Multiply the saturation S of HSV, up to 1: each channel's distance to the value V, the largest one, grows so."""
    value_HW, least_HW = rgb_CHW.amax(0), rgb_CHW.amin(0)
    distance_HW = value_HW - least_HW  # S times V
    factor_HW = torch.where(distance_HW * factor > value_HW, value_HW / distance_HW, factor)
    return value_HW - (value_HW - rgb_CHW) * factor_HW
