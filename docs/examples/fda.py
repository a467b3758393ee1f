"""FDA: give an image of the source the style of an image of the target.

python docs/examples/fda.py source.png target.png styled.png
"""

import sys

import numpy as np
from PIL import Image

import udaseg

source, target = (Image.open(path).convert("RGB") for path in sys.argv[1:3])
target = target.resize(source.size)  # both need one size
styled = udaseg.fda(np.array(source), np.array(target), beta=0.01)
Image.fromarray(styled).save(sys.argv[3])
means = [np.array(image).mean().round(1) for image in (source, target, styled)]
print("mean grey level: source {}, target {}, styled {}".format(*means))
