"""Class-mix and hidden blocks: what a student sees of the target in DACS and MIC.

python docs/examples/mixing.py
"""

import numpy as np
import torch

import udaseg

torch.manual_seed(0)
rng = np.random.default_rng(0)
source, target = torch.rand(2, 3, 64, 128), torch.rand(2, 3, 64, 128) - 1  # normalised images
source_label, target_label = torch.randint(19, (2, 8, 8)), torch.full((2, 64, 128), 255)
source_label = source_label.repeat_interleave(8, 1).repeat_interleave(16, 2)

mixed = udaseg.class_mix(source, source_label, target, target_label, rng)
agree = bool(((mixed.labels != 255) == mixed.pasted).all())
print(f"class-mix: {mixed.pasted.float().mean():.0%} of the pixels are pasted, in images and labels: {agree}")

shown, hidden = udaseg.mask_blocks(target, block=16, ratio=0.7, rng=rng)
is_zero = bool((shown[:, 0][hidden] == 0).all())
print(f"masks: {hidden.float().mean():.0%} of the pixels are hidden, and are zero: {is_zero}")
