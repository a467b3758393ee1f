"""Pseudo-labels from logits: class-balanced thresholds (CBST), and spatial aggregation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from udaseg.api.arrays import (
    ArrayOrTensor,
    Values,
    match_kind,
    require_classes,
    require_filled,
    require_shape,
    require_size,
    to_array,
    to_labels,
)
from udaseg.errors import UdasegError
from udaseg.inference import confidence as kernels
from udaseg.pseudo import thresholds as histograms
from udaseg.pseudo.aggregation import aggregate
from udaseg.pseudo.aggregation import size_thresholds as _size_thresholds
from udaseg.pseudo.label_files import pseudo_label


class ConfidenceHistogram(histograms.ConfidenceHistogram):
    """The confidences of all pixels by their class, counted: 1.1 MB a class, for any number of images.

    `add` counts images one after the other; the histograms of two parts of a dataset add up: `a + b`. `predicted`,
    int64 [C], are the pixels of each class. Source: CBST, Algorithm 2.
    """

    def __init__(self, classes: int):
        require_classes(classes)
        super().__init__(classes)

    def add(self, label: Values, confidence: Values, stride: int = 1) -> None:
        """Count the pixels of an image or a batch: ids and float32 confidences, arrays or tensors of one shape.

        A label of 255 is left out. With a stride, every stride-th pixel of each class counts (the authors use 4).
        Raises UdasegError for other shapes, ids of no class, and confidences that are not between 0 and 1.
        """
        label = to_labels("label", label, len(self.predicted))
        super().add(label, np.asarray(to_array("confidence", confidence), np.float32), stride)

    def __add__(self, other: Self) -> Self:
        if len(self.predicted) != len(other.predicted):
            raise UdasegError(
                f"one histogram has {len(self.predicted)} classes and the other {len(other.predicted)}, expected one "
                "number",
                "count both with the outputs of one network",
            )
        return super().__add__(other)


def label_and_confidence(
    logits: ArrayOrTensor, size: tuple[int, int] | None = None, align_corners: bool = False
) -> tuple[ArrayOrTensor, ArrayOrTensor]:
    """Return the most probable class of each pixel and its softmax probability.

    logits are float [C, h, w] or [N, C, h, w]; they are enlarged bilinearly to `size`, (height, width), before the
    softmax. Returns uint8 and float32 [H, W] or [N, H, W]. Of equal logits the lowest class wins. Raises UdasegError
    for other ranks, dtypes and sizes, an empty batch, more than 254 classes, and values that are not finite.
    """
    run = lambda one, height, width: kernels.label_and_confidence(one, height, width, align_corners)  # noqa: E731
    labels, confidences = zip(*_each(logits, run, size), strict=True)
    return _stacked(labels, logits), _stacked(confidences, logits)


def cbst_thresholds(histogram: histograms.ConfidenceHistogram, p: float) -> np.ndarray:
    """Return the threshold of each class, float32 [C]: the confidence that a share p of its pixels reaches.

    A class that is never predicted gets 1. Raises UdasegError for a p outside 0 to 1. Source: Zou et al., CBST,
    ECCV 2018, eq. 8.
    """
    return histograms.cbst_thresholds(histogram, p)


def cbst_labels(
    logits: ArrayOrTensor,
    thresholds: Values,
    size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> ArrayOrTensor:
    """Return the pseudo-labels: the class of the highest probability / threshold where it is at least 1, else 255.

    logits, `size` and `align_corners` are those of `label_and_confidence`; thresholds is float [C], above 0. Returns
    uint8 [H, W] or [N, H, W]. Raises UdasegError as that does, and for thresholds that do not fit. Source: CBST, eq. 8.
    """
    values_C = np.asarray(thresholds) if isinstance(thresholds, list | tuple) else to_array("thresholds", thresholds)
    run = lambda one, height, width: pseudo_label(one, height, width, align_corners, values_C)  # noqa: E731
    return _stacked(_each(logits, run, size), logits)


def spatial_aggregation(label: ArrayOrTensor, minimum: Values) -> ArrayOrTensor:
    """Remove the label of every 8-connected component that is smaller than the minimum of its class.

    label holds ids [H, W] or [N, H, W], 255 unlabelled; minimum is whole numbers of pixels [C], as of
    `size_thresholds`. Returns uint8 of the same shape. Raises UdasegError for other shapes and dtypes, an empty batch,
    and ids of a class without a minimum. Source: Wu and Liu, depth distribution, NeurIPS 2022, Algorithm 1.
    """
    require_shape("label", label, "H W", "N H W")
    require_filled("label", label)
    minimum_C = np.asarray(minimum) if isinstance(minimum, list | tuple) else to_array("minimum", minimum)
    ids = to_labels("label", label, minimum_C.size)
    cleaned = [aggregate(one, minimum_C) for one in ids.reshape(-1, *ids.shape[-2:])]
    return match_kind(np.stack(cleaned).reshape(ids.shape), label)


def size_thresholds(
    class_counts: Values, base0: float = 50, base1: float = 4950, area_scale: float = 1.0
) -> np.ndarray:
    """Return the size of the smallest component to keep of each class, int64 [C] pixels.

    The rarest class of the source gets base0 pixels, the commonest base0 + base1, others lie between. class_counts [C]
    are the pixels of each class in the source, or [N, C] those of each image. area_scale multiplies both bases, for
    images of another size than 1280x760. Raises UdasegError for negative counts or bases. Source: as
    `spatial_aggregation`.
    """
    counts = np.asarray(class_counts) if isinstance(class_counts, list | tuple) else to_array("counts", class_counts)
    return _size_thresholds(counts.sum(0) if counts.ndim == 2 else counts, base0, base1, area_scale)


def _each(logits: Any, label: Callable[[np.ndarray, int, int], Any], size: tuple[int, int] | None) -> list[Any]:
    """Call a kernel for the logits of each image, float16 or float32 [C, h, w], and the size of its label."""
    require_shape("logits", logits, "C h w", "N C h w")
    require_filled("logits", logits)
    values = to_array("logits", logits)
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    height, width = values.shape[-2:] if size is None else require_size("size", size)
    return [label(one, height, width) for one in values.reshape(-1, *values.shape[-3:])]


def _stacked(labels: Any, logits: Any) -> Any:
    return match_kind(np.stack(labels) if logits.ndim == 4 else labels[0], logits)
