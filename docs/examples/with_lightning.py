"""Masked image consistency in a LightningModule. It needs toytown, and `pip install 'udaseg[examples]'`:

udaseg data make data/toytown
python docs/examples/with_lightning.py 300    # steps
"""

import sys

import lightning
import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import udaseg

STEPS, BATCH, SIZE = int(sys.argv[1]), 4, (64, 128)
source = udaseg.dataset("gta5", "data/toytown/gta5", size=SIZE)
target = udaseg.dataset("cityscapes", "data/toytown/cityscapes", labels=False, size=SIZE)


class MaskedConsistency(lightning.LightningModule):
    """Learn the source's labels, and on the target with hidden blocks what the teacher sees without them."""

    def __init__(self) -> None:
        super().__init__()
        self.student = lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=len(source.classes))
        self.teacher = udaseg.mean_teacher(self.student, momentum=0.99)
        self.rng = np.random.default_rng(0)

    def training_step(self, batch: dict[str, dict[str, torch.Tensor]], index: int) -> torch.Tensor:
        images, views = (batch[domain]["image"] / 127.5 - 1 for domain in ("source", "target"))
        loss = cross_entropy(self.student(images)["out"], batch["source"]["label"], ignore_index=255)
        self.teacher.update_parameters(self.student)
        with torch.no_grad():
            confidence, label = self.teacher.eval()(views)["out"].softmax(1).max(1)
        hidden, _ = udaseg.mask_blocks(views, block=16, ratio=0.7, rng=self.rng)
        masked = (confidence > 0.968).float().mean() * cross_entropy(self.student(hidden)["out"], label)
        self.log_dict({"source": loss, "masked": masked})
        return loss + masked

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.student.parameters(), lr=1e-3)


loaders = {
    "source": DataLoader(source, BATCH, shuffle=True, drop_last=True),
    "target": DataLoader(target, BATCH, shuffle=True, drop_last=True),
}
trainer = lightning.Trainer(max_steps=STEPS, logger=False, enable_checkpointing=False, enable_progress_bar=False)
trainer.fit(MaskedConsistency(), loaders)
print("losses:", {name: round(value.item(), 2) for name, value in trainer.logged_metrics.items()})
