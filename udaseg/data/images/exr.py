"""Read depth from OpenEXR files, with the package OpenEXR, which is an extra."""

import importlib.util
from pathlib import Path

import numpy as np

from udaseg.data.depth import centimetres
from udaseg.data.places.indexed_path import local_file
from udaseg.errors import UdasegError

INSTALL_HINT = "pip install 'udaseg[exr]'"


def can_read_exr() -> bool:
    """Return whether the package that reads OpenEXR files is installed."""
    return importlib.util.find_spec("OpenEXR") is not None


def read_exr_depth(path: Path, scale: float = 1.0) -> np.ndarray:
    """Read a depth map from the only channel of an OpenEXR file: uint16 [H, W] in centimetres.

    A value times `scale` is a distance in metres. Raises UdasegError for a missing or damaged file, for several
    channels that differ, and where the package OpenEXR is not installed.
    """
    if not can_read_exr():
        raise UdasegError(f"{path}: reading it needs the package OpenEXR", INSTALL_HINT)
    if not path.is_file():
        raise UdasegError(f"{path}: expected a depth map, found no such file", "check the path")
    import OpenEXR

    try:
        with local_file(path) as local, OpenEXR.File(str(local), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise UdasegError(
            f"{path}: expected a depth map, found a damaged or unreadable OpenEXR file: {error}",
            "copy or unpack it again",
        ) from None
    first, *others = channels.values()
    if any(not np.array_equal(first, other, equal_nan=True) for other in others):
        raise UdasegError(
            f"{path}: expected a depth map of one channel, found {', '.join(channels)}",
            "depth has one channel, or equal ones",
        )
    return centimetres(first.astype(np.float64) * scale)
