"""What is done to the target's images before the student sees them: pasting of source classes, changed colours."""

import math

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from udaseg.config import Strong
from udaseg.data.batches import Batch
from udaseg.labels import IGNORE

KERNEL = 9  # pixels a side: four standard deviations of the widest blur


def pasted(source_labels_NHW: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Choose what of the source is pasted on `count` target images: bool [count, H, W] (ClassMix, as in DACS).

    Of the classes of a source label half are drawn, rounded up, each as likely as the other; the unlabelled is no
    class. Target image i takes from source image i, in turn where there are fewer.
    """
    masks = []
    for i in range(count):
        label_HW = source_labels_NHW[i % len(source_labels_NHW)]
        present = torch.bincount(label_HW.flatten(), minlength=IGNORE + 1)[:IGNORE].cpu().numpy().nonzero()[0]
        drawn = rng.choice(present, math.ceil(len(present) / 2), replace=False)
        masks.append(torch.isin(label_HW, torch.from_numpy(drawn).to(label_HW)))
    return torch.stack(masks)


def mixed(batch: Batch, mask_NHW: Tensor) -> Batch:
    """Put the source's pixels and labels on the target's where the mask says; they count whole."""
    turns = torch.arange(len(mask_NHW), device=mask_NHW.device) % len(batch["source_label"])
    image_NHWC = torch.where(mask_NHW[..., None], batch["source_image"][turns], batch["target_image"])
    label_NHW = torch.where(mask_NHW, batch["source_label"][turns], batch["target_label"])
    batch = Batch(batch | {"target_image": image_NHWC, "target_label": label_NHW})
    if "target_pixels" in batch:
        batch["target_pixels"] = torch.where(mask_NHW, 1.0, batch["target_pixels"])
    if "target_valid" in batch:
        batch["target_valid"] = batch["target_valid"] | mask_NHW
    return batch


def strong_view(
    images_NHWC: Tensor, settings: Strong, rng: np.random.Generator, valid_NHW: Tensor | None = None
) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image at random, then blur some: uint8 [N, H, W, 3].

    As `transforms.distort`, on the device the images are on; where `valid_NHW` (bool) says that there is no image
    the black stays and does not count. Draws the same number of random values whatever the settings.
    """
    views = []
    for i, image_HWC in enumerate(images_NHWC):
        valid_HW = None if valid_NHW is None else valid_NHW[i]
        changes, blurred, sigma = rng.uniform(-1.0, 1.0, 4), rng.random(), rng.uniform(0.15, 1.15)
        image_CHW = image_HWC.permute(2, 0, 1)
        if settings.jitter > 0.0:
            brightness, contrast, saturation, hue = (float(change) for change in changes * settings.jitter)
            image_CHW = functional.adjust_brightness(image_CHW, 1 + brightness)
            image_CHW = _with_contrast(image_CHW, 1 + contrast, valid_HW)
            image_CHW = functional.adjust_saturation(image_CHW, 1 + saturation)
            image_CHW = functional.adjust_hue(image_CHW, hue / 4)  # in turns
        if blurred < settings.blur:
            image_CHW = functional.gaussian_blur(image_CHW, [KERNEL, KERNEL], [float(sigma)])
        if valid_HW is not None:
            image_CHW = image_CHW * valid_HW
        views.append(image_CHW.permute(1, 2, 0))
    return torch.stack(views)


def _with_contrast(image_CHW: Tensor, factor: float, valid_HW: Tensor | None) -> Tensor:
    """Do what torchvision's adjust_contrast does, around the mean of what is valid."""
    grey_HW = functional.rgb_to_grayscale(image_CHW)[0]
    mean = (grey_HW if valid_HW is None else grey_HW[valid_HW]).float().mean()
    return (mean + factor * (image_CHW - mean)).clamp(0, 255).round().to(torch.uint8)
