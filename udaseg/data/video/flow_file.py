"""Optical flow in files as KITTI has them: PNGs of 16 bits, in 64ths of a pixel, with a mask."""

from pathlib import Path

import numpy as np

from udaseg.data.images import png
from udaseg.data.images.png16 import decode_channel
from udaseg.errors import UdasegError
from udaseg.io.files import atomic

SCALE, ZERO = 64.0, 1 << 15  # a stored value v is (v - ZERO) / SCALE pixels: from -512 to 511.98


def write_flow(path: Path, flow_2HW: np.ndarray, valid_HW: np.ndarray) -> np.ndarray:
    """Write flow, float32 [2, H, W] in pixels to the right and down, and its mask, bool [H, W], as a PNG in one piece.

    Red is the flow to the right, green that down, blue 1 where it is valid. Flow that is out of range is not valid.
    Returns the mask in the file. Source: the readme of KITTI's stereo and flow benchmark 2015.
    """
    stored_2HW = np.rint(flow_2HW * SCALE) + ZERO
    valid_HW = valid_HW & ((stored_2HW >= 0) & (stored_2HW <= 65535)).all(0)  # false for NaN too
    values_HW3 = np.zeros((*valid_HW.shape, 3), np.uint16)
    values_HW3[..., :2] = np.nan_to_num(stored_2HW, nan=ZERO).clip(0, 65535).transpose(1, 2, 0)
    values_HW3[..., 2] = valid_HW
    with atomic(path, sync=False) as temporary:
        temporary.write_bytes(png.encode(values_HW3))
    return valid_HW


def read_flow(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read flow, float32 [2, H, W], and its mask, bool [H, W]. Raises UdasegError for a missing or damaged file."""
    try:
        data = path.read_bytes()
        right_HW, down_HW, valid_HW = (decode_channel(data, channel) for channel in range(3))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UdasegError(
            f"{path}: expected optical flow, a PNG of 16-bit RGB as KITTI's, found: {reason}",
            "copy it again, or compute the flow: udaseg flow --method dis",
        ) from None
    flow_2HW = (np.stack([right_HW, down_HW]).astype(np.float32) - ZERO) / np.float32(SCALE)
    return flow_2HW, valid_HW > 0
