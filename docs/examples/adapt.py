"""Adapt a network in a plain PyTorch loop: mean teacher, class-mix, rare classes. It needs toytown:

udaseg data make data/toytown
python docs/examples/adapt.py 600 0    # steps and seed
"""

import sys

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, RandomSampler
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import udaseg

STEPS, SEED, BATCH, SIZE = int(sys.argv[1]), int(sys.argv[2]), 4, (64, 128)
source = udaseg.dataset("gta5", "data/toytown/gta5", size=SIZE)
target = udaseg.dataset("cityscapes", "data/toytown/cityscapes", labels=False, size=SIZE)
val = udaseg.dataset("cityscapes", "data/toytown/cityscapes", "val", size=SIZE)
rare = udaseg.rare_classes(udaseg.class_counts(source), temperature=0.1, pixels=50)


def normalise(images: torch.Tensor) -> torch.Tensor:
    return images / 127.5 - 1


def train(adapt: bool) -> float:
    """Train on the source, from a third of the steps on also on the target; return the mIoU on its labelled split."""
    torch.manual_seed(SEED)
    rng, draws = np.random.default_rng(SEED), STEPS * BATCH
    student = lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=len(source.classes))
    teacher = udaseg.mean_teacher(student, momentum=0.99)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    sources = DataLoader(source, BATCH, sampler=udaseg.RareClassSampler(rare, draws, SEED))
    targets = DataLoader(target, BATCH, sampler=RandomSampler(target, num_samples=draws, replacement=True))
    for step, (own, other) in enumerate(zip(sources, targets, strict=True)):
        images = normalise(own["image"])
        loss = cross_entropy(student.train()(images)["out"], own["label"], ignore_index=255)
        if adapt and step >= STEPS // 3:
            teacher.update_parameters(student)
            with torch.no_grad():
                views = normalise(other["image"])
                confidence, label = teacher(views)["out"].softmax(1).max(1)
            sure = (confidence > 0.968).float().mean((1, 2), keepdim=True).expand_as(confidence)
            mixed = udaseg.class_mix(images, own["label"], views, label, rng)
            per_pixel = cross_entropy(student(mixed.images)["out"], mixed.labels, ignore_index=255, reduction="none")
            loss = loss + (torch.where(mixed.pasted, 1.0, sure) * per_pixel).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    matrix = None
    with torch.no_grad():
        for one in DataLoader(val, BATCH):
            predicted = student.eval()(normalise(one["image"]))["out"].argmax(1)
            matrix = udaseg.confusion(one["label"], predicted, len(val.classes), matrix)
    return udaseg.scores(matrix, val.classes).miou


print(f"mIoU: {train(adapt=False):.1%} trained on the source, {train(adapt=True):.1%} adapted")
