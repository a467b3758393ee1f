"""Labels of several datasets as train ids of one class space.

python docs/examples/read_labels.py carla data/carla cityscapes data/cityscapes
"""

import sys

import numpy as np

import udaseg

space = ["road", "vegetation", "sky", "car"]
for name, root in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    images = udaseg.dataset(name, root, space=space)  # the encoding is detected: CARLA has had two sets of tags
    ids = images[0]["label"].unique().tolist()
    print(name, len(images), "images, the first shows", [images.classes[i] for i in ids if i != 255])

print("the colour of road:", udaseg.class_space(space).palette[0])
ids = np.array([[7, 26], [21, 0]], np.uint8)  # of Cityscapes: road, car, vegetation, unlabeled
print("cityscapes:", udaseg.train_ids(ids, "cityscapes", space).tolist())
print("your own ids:", udaseg.train_ids(ids, {0: "road", 7: "sky", 21: "car", 26: "vegetation"}, space).tolist())
