"""CBST with a network of segmentation_models_pytorch. It needs toytown, and `pip install 'udaseg[smp]'`:

udaseg data make data/toytown
python docs/examples/with_smp.py 300    # steps of each of the two trainings
"""

import sys

import segmentation_models_pytorch as smp
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, RandomSampler

import udaseg

STEPS, BATCH, SIZE = int(sys.argv[1]), 4, (64, 128)
torch.manual_seed(0)
source = udaseg.dataset("gta5", "data/toytown/gta5", size=SIZE)
target = udaseg.dataset("cityscapes", "data/toytown/cityscapes", labels=False, size=SIZE)
network = smp.Unet("mobilenet_v2", encoder_weights=None, classes=len(source.classes))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)


def train(*parts: Dataset) -> None:
    """Train on a batch of each part at every step."""
    loaders = [DataLoader(part, BATCH, sampler=RandomSampler(part, True, STEPS * BATCH)) for part in parts]
    for batches in zip(*loaders, strict=True):
        samples = [(batch["image"] / 127.5 - 1, batch["label"]) for batch in batches]
        loss = sum(cross_entropy(network.train()(image), label, ignore_index=255) for image, label in samples)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


train(source)
with torch.no_grad():
    logits = [network.eval()(sample["image"][None] / 127.5 - 1)[0] for sample in target]
histogram = udaseg.ConfidenceHistogram(len(source.classes))
for one in logits:
    histogram.add(*udaseg.label_and_confidence(one))
thresholds = udaseg.cbst_thresholds(histogram, p=0.2)
labels = [udaseg.cbst_labels(one, thresholds).long() for one in logits]
print(f"{torch.stack(labels).ne(255).float().mean():.1%} of the target has a pseudo-label")
train(source, [{"image": sample["image"], "label": label} for sample, label in zip(target, labels, strict=True)])
torch.save(network.state_dict(), "adapted.pt")
