"""Prototypes: rectify logits by the distances of features to the mean feature of each class (ProDA).

python docs/examples/prototypes.py
"""

import torch

import udaseg

CLASSES, DIMENSION = 3, 16
torch.manual_seed(0)
centres = 3 * torch.randn(CLASSES, DIMENSION)


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Make up labels [2, 8, 16], and features [2, D, 8, 16] that lie around the centre of their class."""
    labels = torch.randint(CLASSES, (2, 8, 16))
    return labels, (centres[labels] + 4 * torch.randn(2, 8, 16, DIMENSION)).permute(0, 3, 1, 2)


sums = udaseg.Centroids(CLASSES, DIMENSION)
for _ in range(5):
    labels, features = scene()
    sums.add(features, labels)

truth, features = scene()
logits = torch.nn.functional.one_hot(truth, CLASSES).permute(0, 3, 1, 2) + 2 * torch.randn(2, CLASSES, 8, 16)
distances = udaseg.prototype_distances(features, sums.centroids())
rectified = udaseg.rectify(logits, distances, temperature=1.0)
for name, scores in (("logits", logits), ("rectified", rectified)):
    print(f"{name}: {(scores.argmax(1) == truth).float().mean():.1%} right")

moving = udaseg.MovingPrototypes(sums.centroids(), momentum=0.99)  # a module: its state is saved with the others
moving.move(features, rectified.argmax(1))
print(f"the prototypes moved by {(moving.centroids - torch.from_numpy(sums.centroids())).norm():.3f}")
