"""Conversions of depth: uint16 centimetres on disk, inverse depth 65536 / (cm + 1) for networks, and metres."""

from collections.abc import Sequence

import numpy as np

FAR = 65535  # the largest stored value: correct for the sky, no measurement for other classes


def inverse_depth(cm: np.ndarray) -> np.ndarray:
    """Convert depth in centimetres (uint16) to inverse depth, 65536 / (cm + 1): float32 of the same shape."""
    return np.float32(65536) / (cm.astype(np.float32) + np.float32(1))


def centimetres(metres: np.ndarray) -> np.ndarray:
    """Convert depth in metres (float) to centimetres: uint16 of the same shape.

    What is farther than 655.34 m, infinite or no number becomes FAR; what is not above 0 becomes 0.
    """
    rounded = np.rint(metres.astype(np.float64) * 100)
    return np.where(np.isnan(rounded), FAR, rounded.clip(0, FAR)).astype(np.uint16)


def metres(inverse_depth: np.ndarray) -> np.ndarray:
    """Convert inverse depth (float, above 0) to metres: float of the same shape."""
    return (65536 / inverse_depth - 1) / 100


def is_measured(cm: np.ndarray, label: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return which pixels have a depth: bool, false where `cm` is 0, or 65535 in another class than "sky".

    `cm` is uint16 in centimetres; `label` has the same shape, uint8 train ids of `classes`.
    """
    is_valid = cm != FAR
    if "sky" in classes:
        is_valid |= label == tuple(classes).index("sky")
    return (cm > 0) & is_valid
