"""The grid of a stride-8 network, on which depth is counted and its density is computed."""

import numpy as np


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Return the size (height, width) of the grid of a stride-8 network for an image of a size in pixels.

    The network has a strided stem, a pooling in ceil mode and a stride: 760x1280 pixels give 96x161, 320x640 give
    41x81.
    """
    stem = (height - 1) // 2 + 1, (width - 1) // 2 + 1
    rows, columns = (side // 2 // 2 + 1 for side in stem)
    return rows, columns


def to_grid(image_HW: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Resample labels or depth to the grid by the nearest pixel centre: same dtype, [h, w]."""
    rows, columns = (
        ((2 * np.arange(cells) + 1) * side // (2 * cells)) for side, cells in zip(image_HW.shape, grid, strict=True)
    )
    return image_HW[rows[:, None], columns]
