"""Spatial aggregation: remove the small components of a pseudo-label; classes that are common need large ones.

python docs/examples/spatial_aggregation.py
"""

import numpy as np

import udaseg

label = np.zeros((60, 100), np.uint8)  # road
label[10:40, 20:60] = 1  # a building of 1200 pixels
label[50:52, 90:93] = 1  # and a speck of 6
label[45:48, 10:13] = 2  # a sign of 9 pixels: few, but signs are small

source_pixels = [700_000, 300_000, 2_000]  # road, building and sign, as of udaseg.class_counts
minimum = udaseg.size_thresholds(source_pixels, base0=5, base1=45)
cleaned = udaseg.spatial_aggregation(label, minimum)
print("a component needs:", dict(zip(("road", "building", "sign"), minimum.tolist(), strict=True)))
print("removed:", int((cleaned == 255).sum()), "pixels; the sign stays:", bool((cleaned == 2).any()))
