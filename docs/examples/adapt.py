"""Adapt a network in a plain PyTorch loop: mean teacher, class-mix, rare classes. It needs toytown:

udaseg data make data/toytown --source 200 --train 200 --val 60 --size 128x256
python docs/examples/adapt.py 600 0    # steps and seed
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, RandomSampler

import udaseg

STEPS, SEED, BATCH, SIZE = int(sys.argv[1]), int(sys.argv[2]), 4, (64, 128)
source = udaseg.dataset("gta5", "data/toytown/gta5", size=SIZE)
target = udaseg.dataset("cityscapes", "data/toytown/cityscapes", labels=False, size=SIZE)
val = udaseg.dataset("cityscapes", "data/toytown/cityscapes", "val", size=SIZE)
rare = udaseg.rare_classes(udaseg.class_counts(source), temperature=0.1, pixels=50)
sources, targets, truths = list(source), list(target), list(val)  # read once: they are few


def block(channels: int, width: int, stride: int, dilation: int) -> nn.Module:
    conv = nn.Conv2d(channels, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def train(adapt: bool) -> nn.Module:
    """Train on the source, in the second half also on the target."""
    torch.manual_seed(SEED)
    rng, draws = np.random.default_rng(SEED), STEPS * BATCH
    layers = [block(3, 32, 2, 1), block(32, 64, 2, 1), block(64, 64, 1, 2), block(64, 64, 1, 4), block(64, 64, 1, 8)]
    student = nn.Sequential(*layers, nn.Conv2d(64, len(source.classes), 1), nn.UpsamplingBilinear2d(SIZE))
    teacher = udaseg.mean_teacher(student, momentum=0.99)
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    labelled = DataLoader(sources, BATCH, sampler=udaseg.RareClassSampler(rare, draws, SEED))
    unlabelled = DataLoader(targets, BATCH, sampler=RandomSampler(targets, replacement=True, num_samples=draws))
    for step, (own, other) in enumerate(zip(labelled, unlabelled, strict=True)):
        images = own["image"] / 127.5 - 1
        loss = cross_entropy(student(images), own["label"], ignore_index=255)
        if adapt and step >= STEPS // 2:
            teacher.update_parameters(student)
            teacher.train()  # it labels with batch norm's statistics of the target batch
            views = other["image"] / 127.5 - 1
            with torch.no_grad():
                confidence, label = teacher(views).softmax(1).max(1)
            sure = (confidence > 0.968).float().mean((1, 2), keepdim=True)  # the weight of an image's labels
            mixed = udaseg.class_mix(images, own["label"], views, label, rng)
            per_pixel = cross_entropy(student(mixed.images), mixed.labels, ignore_index=255, reduction="none")
            loss = loss + (torch.where(mixed.pasted, 1.0, sure) * per_pixel).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return student


def score(network: nn.Module, adabn: bool) -> float:
    """Return the mIoU on the target's labelled split; AdaBN takes the statistics of the target's images before."""
    if adabn:
        update_bn((one["image"] / 127.5 - 1 for one in DataLoader(targets, BATCH)), network)
    matrix = None
    with torch.no_grad():
        for one in DataLoader(truths, BATCH):
            predicted = network.eval()(one["image"] / 127.5 - 1).argmax(1)
            matrix = udaseg.confusion(one["label"], predicted, len(val.classes), matrix)
    return udaseg.scores(matrix, val.classes).miou


plain, adapted = train(adapt=False), train(adapt=True)
print(
    f"mIoU: {score(plain, False):.1%} trained on the source, {score(plain, True):.1%} with the target's statistics, "
    f"{score(adapted, True):.1%} adapted"
)
