"""Warp labels and values of one frame into another along optical flow, and check flow forward and backward."""

import numpy as np

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE

# Two flows agree where |f + b|^2 <= SHARE (|f|^2 + |b|^2) + SLACK (Sundaram et al., ECCV 2010).
SHARE, SLACK = 0.01, 0.5


def warp_labels(label_HW: np.ndarray, flow_2HW: np.ndarray, valid_HW: np.ndarray) -> np.ndarray:
    """Bring the labels of another frame into this one: uint8 [H, W], 255 where the flow is not valid or leads out.

    `flow_2HW`, float32, leads from this frame into the other, in pixels to the right and down. A label is that of the
    nearest pixel. Raises UdasegError where labels and flow differ in size.
    """
    height, width = _same_size(label_HW.shape, flow_2HW.shape)
    column_HW, row_HW = (np.rint(place).astype(np.int64) for place in _places(flow_2HW))
    inside_HW = valid_HW & (column_HW >= 0) & (column_HW < width) & (row_HW >= 0) & (row_HW < height)
    found_HW = label_HW[np.where(inside_HW, row_HW, 0), np.where(inside_HW, column_HW, 0)]
    return np.where(inside_HW, found_HW, np.uint8(IGNORE))


def warp_values(values_CHW: np.ndarray, flow_2HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring values of another frame, such as probabilities or a flow, into this one, bilinearly.

    Returns float32 [C, H, W], 0 where the flow leads out of the frame, and bool [H, W], false there. Raises UdasegError
    where values and flow differ in size.
    """
    height, width = _same_size(values_CHW.shape[1:], flow_2HW.shape)
    x_HW, y_HW = _places(flow_2HW)
    inside_HW = (x_HW >= 0) & (x_HW <= width - 1) & (y_HW >= 0) & (y_HW <= height - 1)
    x_HW, y_HW = np.where(inside_HW, x_HW, 0), np.where(inside_HW, y_HW, 0)
    left_HW, top_HW = np.floor(x_HW).astype(np.int64), np.floor(y_HW).astype(np.int64)
    across_HW, down_HW = (x_HW - left_HW).astype(np.float32), (y_HW - top_HW).astype(np.float32)
    right_HW, below_HW = np.minimum(left_HW + 1, width - 1), np.minimum(top_HW + 1, height - 1)
    upper_CHW = values_CHW[:, top_HW, left_HW] * (1 - across_HW) + values_CHW[:, top_HW, right_HW] * across_HW
    lower_CHW = values_CHW[:, below_HW, left_HW] * (1 - across_HW) + values_CHW[:, below_HW, right_HW] * across_HW
    warped_CHW = (upper_CHW * (1 - down_HW) + lower_CHW * down_HW) * inside_HW
    return warped_CHW.astype(np.float32), inside_HW


def agreeing(forward_2HW: np.ndarray, backward_2HW: np.ndarray) -> np.ndarray:
    """Return where a flow and the one back lead to the same place: bool [H, W], false where the flow leads out.

    Elsewhere one of them is wrong, or something hides the point in the other frame.
    """
    back_2HW, inside_HW = warp_values(backward_2HW, forward_2HW)
    error_HW = np.square(forward_2HW + back_2HW).sum(0)
    length_HW = np.square(forward_2HW).sum(0) + np.square(back_2HW).sum(0)
    return inside_HW & (error_HW <= SHARE * length_HW + SLACK)


def resize_flow(flow_2HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the flow between frames of another (height, width): that of the nearest pixels, its lengths scaled."""
    shape = flow_2HW.shape[1:]
    if shape == tuple(size):
        return flow_2HW
    rows, columns = ((np.arange(new) * 2 + 1) * old // (2 * new) for new, old in zip(size, shape, strict=True))
    scale_211 = np.array([size[1] / shape[1], size[0] / shape[0]], np.float32)[:, None, None]
    return flow_2HW[:, rows[:, None], columns] * scale_211


def mirror_flow(flow_2HW: np.ndarray) -> np.ndarray:
    """Return the flow between the mirror images of two frames: in mirrored places, to the left where to the right."""
    return flow_2HW[:, :, ::-1] * np.array([-1, 1], np.float32)[:, None, None]


def _places(flow_2HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the column and the row in the other frame of each pixel, float64 [H, W]; never beyond 1e6."""
    _, height, width = flow_2HW.shape
    flow_2HW = np.nan_to_num(flow_2HW.astype(np.float64), nan=1e6).clip(-1e6, 1e6)
    return flow_2HW[0] + np.arange(width), flow_2HW[1] + np.arange(height)[:, None]


def _same_size(size: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    if tuple(size) != tuple(shape[1:]):
        raise UdasegError(
            f"the frame is {size[0]}x{size[1]}, and the flow {shape[1]}x{shape[2]}", "compute the flow of these frames"
        )
    return size[0], size[1]
