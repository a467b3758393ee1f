"""Score a folder of predictions: <name>.png with train ids, one for each labelled image.

python docs/examples/score_folder.py cityscapes data/toytown/cityscapes predictions
"""

import sys
from pathlib import Path

import udaseg

name, root, folder = sys.argv[1:]
val = udaseg.dataset(name, root, "val")
matrix = None
for sample in val:
    prediction = udaseg.read_label(Path(folder, f"{sample['name']}.png"))
    matrix = udaseg.confusion(sample["label"], prediction, len(val.classes), matrix)
result = udaseg.scores(matrix, val.classes)
for class_name, iou in zip(result.classes, result.iou, strict=True):
    print(f"{class_name:14}", "absent" if iou is None else f"{iou:.1%}")
print(f"mIoU {result.miou:.1%} of {len(val)} images, pixel accuracy {result.pixel_accuracy:.1%}")
