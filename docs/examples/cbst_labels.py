"""CBST: pseudo-labels from logits, with a threshold for each class over all images.

python docs/examples/cbst_labels.py
"""

import torch

import udaseg

CLASSES, SIZE = 19, (64, 128)
torch.manual_seed(0)
bias = torch.linspace(0, 2, CLASSES)[:, None, None]  # the last classes are predicted more often
logits = [bias + 2 * torch.randn(CLASSES, 8, 16) for _ in range(10)]  # of a network with stride 8, image by image

histogram = udaseg.ConfidenceHistogram(CLASSES)
for one in logits:
    histogram.add(*udaseg.label_and_confidence(one, SIZE))
thresholds = udaseg.cbst_thresholds(histogram, p=0.2)  # keep the most confident fifth of each class
labels = torch.stack([udaseg.cbst_labels(one, thresholds, SIZE) for one in logits])
for c in (0, 9, 18):
    kept = int((labels == c).sum())
    print(f"class {c}: threshold {thresholds[c]:.2f}, {histogram.predicted[c]} pixels, {kept} labelled")
