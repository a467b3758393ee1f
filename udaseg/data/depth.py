"""Depth as it is stored, uint16 centimetres, and as networks learn it: the inverse, 65536 / (cm + 1)."""

from collections.abc import Sequence

import numpy as np

FAR = 65535  # the largest raw value is the sky's; elsewhere it says that there is no depth


def inverse_depth(cm: np.ndarray) -> np.ndarray:
    """Turn depth in centimetres (uint16) into inverse depth, 65536 / (cm + 1): float32 of the same shape."""
    return np.float32(65536) / (cm.astype(np.float32) + np.float32(1))


def metres(inverse_depth: np.ndarray) -> np.ndarray:
    """Turn inverse depth, float and above 0, back into metres: float of the same shape."""
    return (65536 / inverse_depth - 1) / 100


def measured(cm: np.ndarray, label: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Say which pixels have a depth, bool of their shape: neither 0 nor, outside the class "sky", 65535.

    cm is uint16, label uint8 train ids of the classes.
    """
    nearer = cm != FAR
    if "sky" in classes:
        nearer |= label == tuple(classes).index("sky")
    return (cm > 0) & nearer
