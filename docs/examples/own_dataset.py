"""Data of your own: images, labels and a classes.yaml in folders, read by a DataLoader with workers.

python docs/examples/own_dataset.py data/mine    # a new folder
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader

import udaseg

root = Path(sys.argv[1])
root.mkdir(parents=True)
(root / "classes.yaml").write_text("names: {7: road, 26: car}\nignore: [0]\n")
for kind in ("images", "labels"):
    (root / "train" / kind).mkdir(parents=True)
rng = np.random.default_rng(0)
for stem in ("a", "b", "c", "d"):
    Image.fromarray(rng.integers(0, 256, (60, 100, 3), np.uint8)).save(root / "train/images" / f"{stem}.jpg")
    Image.fromarray(rng.choice(np.array([0, 7, 26], np.uint8), (60, 100))).save(root / "train/labels" / f"{stem}.png")

images = udaseg.dataset("folder", root, space=["road", "car"], size=(32, 64))
print("pixels by class:", udaseg.class_counts(images).sum(0).tolist())
for batch in DataLoader(images, batch_size=2, num_workers=1):
    print(batch["name"], tuple(batch["image"].shape), tuple(batch["label"].shape), batch["label"].unique().tolist())
try:
    udaseg.dataset("folder", root, space=["road", "Car"])
except udaseg.UdasegError as error:
    print(f"{error.message} ({error.hint})")
