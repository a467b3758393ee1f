"""ClassMix: pixels of some source classes are pasted on the target images (ClassMix; across domains as in DACS)."""

import math

import numpy as np
import torch
from torch import Tensor

from udaseg.data.batches import Batch
from udaseg.labels import IGNORE
from udaseg.models.devices import send
from udaseg.train.ingredients.step import Step


def paste_classes(step: Step) -> None:
    """Paste half of the classes of a source image, with their labels, on each target image."""
    labels_NHW, count = step.batch["source_label"], len(step.batch["target_image"])
    mask_NHW = draw_mask(labels_NHW, count, step.rng, step.batch.get("source_present"))
    step.unchanged = ~mask_NHW if step.unchanged is None else step.unchanged & ~mask_NHW
    step.batch = paste(step.batch, mask_NHW)


def draw_mask(
    source_labels_NHW: Tensor, count: int, rng: np.random.Generator, present_NC: Tensor | None = None
) -> Tensor:
    """Draw the source pixels to paste on `count` target images: bool [count, H, W].

    Half of the classes of a source label are drawn, rounded up, with equal probabilities; unlabelled pixels are no
    class. Target image i takes from source image i, or, with fewer source images, from i modulo their number.
    `present`, bool [N, 255] on the CPU, says which classes a label has; without it they are counted, and the host waits
    for a GPU.
    """
    if present_NC is None:
        present_NC = torch.stack(
            [torch.bincount(label_HW.flatten(), minlength=IGNORE)[:IGNORE] > 0 for label_HW in source_labels_NHW]
        ).cpu()
    drawn_NC = torch.zeros(count, IGNORE + 1, dtype=torch.bool)
    for i in range(count):
        present = present_NC[i % len(present_NC)].numpy().nonzero()[0]
        drawn_NC[i, rng.choice(present, math.ceil(len(present) / 2), replace=False)] = True
    drawn_NC = send(drawn_NC, source_labels_NHW.device)
    return torch.stack(
        [drawn_C[source_labels_NHW[i % len(source_labels_NHW)].long()] for i, drawn_C in enumerate(drawn_NC)]
    )


def paste(batch: Batch, mask_NHW: Tensor) -> Batch:
    """Return the batch with the source's pixels and labels in the target where the mask is true.

    Pasted pixels are valid and have the weight 1. The classes that their label cannot have are `target_missing`, and
    `target_pasted` says which pixels they are. Where the source has depth, they have that too; the others keep theirs,
    or have none.
    """
    source = torch.arange(len(mask_NHW), device=mask_NHW.device) % len(batch["source_label"])
    image_NHWC = torch.where(mask_NHW[..., None], batch["source_image"][source], batch["target_image"])
    label_NHW = torch.where(mask_NHW, batch["source_label"][source], batch["target_label"])
    batch = Batch(batch | {"target_image": image_NHWC, "target_label": label_NHW})
    if "target_pixels" in batch:
        batch["target_pixels"] = torch.where(mask_NHW, 1.0, batch["target_pixels"])
    if "target_valid" in batch:
        batch["target_valid"] = batch["target_valid"] | mask_NHW
    if "source_depth" in batch:
        depth_NHW = batch["source_depth"][source]
        others_NHW = batch.get("target_depth", torch.zeros_like(depth_NHW))
        batch |= {"target_depth": torch.where(mask_NHW, depth_NHW, others_NHW), "target_pasted": mask_NHW}
    if "source_missing" in batch:
        batch |= {"target_missing": batch["source_missing"][source], "target_pasted": mask_NHW}
    return batch
