"""Source images in the style of the target, made when they are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udaseg.config import Stylize
from udaseg.data.augment import resize
from udaseg.data.image_sets import ImageSet, View
from udaseg.data.style import fda


@dataclass(frozen=True, eq=False)
class StyledImages:
    """The images of a view, each with the low-frequency amplitudes of a target image (FDA, eq. 4).

    `partners` are the indices of the target images, one for each image of the view.
    """

    view: View
    target: ImageSet
    partners: Sequence[int]
    settings: Stylize

    def __len__(self) -> int:
        return len(self.partners)

    def image(self, i: int) -> np.ndarray:
        """Return image i at the size of the view, in its style: uint8 RGB [H, W, 3]."""
        image_HWC = self.view.images.image(i)
        canvas_HWC = resize(image_HWC, self.view.size_of(image_HWC.shape))
        height, width = canvas_HWC.shape[:2]
        style_HWC = resize(self.target.image(self.partners[i]), (height, width))
        return fda.stylize(canvas_HWC, fda.low_band(style_HWC, self.settings.beta, self.settings.window))
