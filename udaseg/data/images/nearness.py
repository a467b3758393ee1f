"""Read the maps of depth networks: grey images in which near pixels are bright."""

from pathlib import Path

import numpy as np

from udaseg.data.images.label_pixels import decode_pixels, has_equal_channels
from udaseg.data.images.read import name_file
from udaseg.errors import UdasegError


def read_nearness(path: Path) -> np.ndarray:
    """Read a map of relative inverse depth: uint16 [H, W], larger where nearer, without a unit.

    The file is a grey image of 8 or 16 bits, or has three equal channels. Raises UdasegError for a missing or damaged
    file, and for colours, which give no order.
    """
    with name_file(path, "a depth map"):
        values = decode_pixels(path, path.read_bytes(), expand=True)
    if values.ndim == 3:
        if not has_equal_channels(values):
            raise UdasegError(
                f"{path}: expected a grey depth map, found colours", "save it again in grey, near pixels brighter"
            )
        values = values[..., 0]
    return values.astype(np.uint16)
