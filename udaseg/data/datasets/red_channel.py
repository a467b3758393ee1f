"""Label ids in the red channel of an RGB image, as the cameras of CARLA write them."""

from pathlib import Path

import numpy as np

from udaseg.data.images.read import png_kind, read_image, read_label_ids

_COLOURED = (2, 6)  # colour types of PNG: RGB, and RGB with alpha


def read_red(path: Path, coding: str) -> np.ndarray:
    """Read the ids of a label PNG: uint8 [H, W], the red channel of an 8-bit RGB(A) file, or those of a grey file.

    Green and blue are not used: the instance camera stores the number of an object there. Raises UdasegError where
    the file cannot be read.
    """
    depth, colour = png_kind(path)
    if depth == 8 and colour in _COLOURED:
        return read_image(path)[..., 0]
    return read_label_ids(path, coding)
