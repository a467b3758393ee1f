"""Depth: a Gaussian mixture of each class over position and depth, and the density of a pixel. It needs toytown:

udaseg data make data/toytown
python docs/examples/depth.py data/toytown/synthia
"""

import sys

import udaseg

source = udaseg.dataset("synthia", sys.argv[1], space="syn16", depth=True, limit=20)
pairs = ((sample["label"], sample["depth"]) for sample in source)  # one image in memory at a time
mixtures = udaseg.depth_mixtures(pairs, source.classes, components=3)

sample = source[0]
inverse = udaseg.inverse_depth(sample["depth"])
density = udaseg.depth_density(mixtures, inverse)
print("grid:", mixtures.grid, "density:", tuple(density.shape))
for name in ("road", "sky", "car"):
    c = source.classes.index(name)
    column, row, inverse = mixtures.means[c, 0]
    weight = mixtures.weights[c, 0]
    print(f"{name}: the largest Gaussian has {weight:.0%}, at row {row:.1f}, {65536 / inverse / 100:.0f} m away")
