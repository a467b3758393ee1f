"""Optical flow between two frames, computed by OpenCV, which is an extra."""

from functools import cache
from typing import Any

import numpy as np

from udaseg.errors import UdasegError

SMALLEST = 32  # pixels of a side: DIS needs patches on several scales


def estimate_flow(method: str, image_HWC: np.ndarray, other_HWC: np.ndarray) -> np.ndarray:
    """Compute the flow from an image to another one: float32 [2, H, W], in pixels to the right and down.

    Images are uint8 [H, W, 3] of one size. `method` is "dis" (Kroeger et al., ECCV 2016), at its setting for quality,
    or "farneback" (Farnebäck, SCIA 2003). Raises UdasegError where OpenCV is not installed, and for images that are
    smaller than 32 pixels or of two sizes.
    """
    opencv = load_opencv()
    if image_HWC.shape != other_HWC.shape or min(image_HWC.shape[:2]) < SMALLEST:
        sizes = " and ".join(f"{one.shape[0]}x{one.shape[1]}" for one in (image_HWC, other_HWC))
        raise UdasegError(
            f"flow needs two frames of one size, of {SMALLEST}x{SMALLEST} pixels or more; found {sizes}",
            "leave out the frames of another size: `list` in the recipe names a text file of the images to use",
        )
    grey, other = (opencv.cvtColor(one, opencv.COLOR_RGB2GRAY) for one in (image_HWC, other_HWC))
    if method == "dis":
        flow_HW2 = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey, other, None)
    else:
        flow_HW2 = opencv.calcOpticalFlowFarneback(grey, other, None, 0.5, 5, 15, 3, 7, 1.5, 0)
    return np.ascontiguousarray(flow_HW2.transpose(2, 0, 1), np.float32)


@cache
def load_opencv() -> Any:
    """Import OpenCV, on one thread: with several, the flow of DIS depends on their number.

    Raises UdasegError where it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise UdasegError(
            "computing optical flow needs OpenCV, which is not installed",
            "pip install 'udaseg[video]'; or bring flow files and set flow.method=files",
        ) from None
    cv2.setNumThreads(1)
    return cv2
