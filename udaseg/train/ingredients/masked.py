"""Masked image consistency: the student learns the labels of what it does not see (MIC, CVPR 2023)."""

import numpy as np
import torch
from torch import Tensor

from udaseg.data.batches import Batch
from udaseg.errors import UdasegError
from udaseg.models.colors import mean_color
from udaseg.models.devices import fill, send
from udaseg.train.ingredients.step import Step
from udaseg.train.ingredients.strong import strong_view
from udaseg.train.objectives import FurtherPass

STREAM = 8  # of random values; `data.batches` and the other ingredients have those before it
DOMAIN = "masked"


def hide_blocks(step: Step) -> None:
    """Add a pass on the target with blocks hidden: the cross-entropy on the labels of all pixels, with their weights.

    The images are those before anything is pasted. Their colours change anew where those of the student's view do.
    """
    masked, strong = step.settings.masked, step.settings.strong
    images_NHWC, valid_NHW, rng = step.weak_images, step.batch.get("target_valid"), step.own_rng(STREAM)
    count, height, width, _ = images_NHWC.shape
    blocks_NHW = draw_blocks((count, height, width), masked.block, masked.ratio, rng)
    hidden_NHW = send(torch.from_numpy(blocks_NHW), images_NHWC.device)
    if valid_NHW is not None:
        hidden_NHW = hidden_NHW & valid_NHW
    if strong is not None and masked.strong:
        images_NHWC = strong_view(images_NHWC, strong, rng, valid_NHW)
    batch = Batch({f"{DOMAIN}_image": hide(images_NHWC, hidden_NHW, step.networks.color)})
    batch[f"{DOMAIN}_label"] = step.batch["target_label"]
    if "target_pixels" in step.batch:
        batch[f"{DOMAIN}_pixels"] = step.batch["target_pixels"]
    step.passes.append(FurtherPass(DOMAIN, batch, masked.weight))


def draw_blocks(shape: tuple[int, int, int], block: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Draw which pixels of N images are hidden, in blocks: bool [N, H, W] for a shape (N, H, W).

    An image has round(H / block) x round(W / block) blocks of about equal size; each is hidden with the probability
    `ratio`. Raises UdasegError where a block is larger than an image.
    """
    count, height, width = shape
    if block > min(height, width):
        raise UdasegError(
            f"retrain.masked.block={block} hides blocks of {block} pixels, and the images have {height}x{width}",
            f"set retrain.masked.block={max(1, min(height, width) // 4)}",
        )
    rows, columns = round(height / block), round(width / block)
    hidden_Nhw = rng.random((count, rows, columns)) < ratio
    return hidden_Nhw[:, np.arange(height) * rows // height][:, :, np.arange(width) * columns // width]


def hide(images_NHWC: Tensor, hidden_NHW: Tensor, color: str) -> Tensor:
    """Give hidden pixels the colour that a network with this colour convention sees as zero: uint8 [N, H, W, 3]."""
    grey = fill(mean_color(color), images_NHWC.device, torch.uint8)
    return torch.where(hidden_NHW[..., None], grey, images_NHWC)
