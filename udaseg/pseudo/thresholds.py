"""Class-wise confidence thresholds from histograms (CBST, eq. 8 and Algorithm 2; ST is its case of one class).

The threshold of a class is an order statistic of the confidences of all its pixels in all images. Sorted lists of them
would take tens of gigabytes. A histogram takes 1.1 MB a class for any number of images, and the histograms of two
halves of a data set add up to that of the whole.
Source: Zou et al., Unsupervised domain adaptation via class-balanced self-training, ECCV 2018.
"""

import math
from fractions import Fraction
from typing import Self

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.inference.exponentials import float32_bits
from udaseg.metrics import count_classes
from udaseg.parallel import processes

# The bins divide u = 1 - confidence, because softmax saturates: most pixels of an easy class lie within 1e-3 of 1.
# Below 1/8 the bin is u + 2^-11 as a float with 13 bits of mantissa. That separates all float32 confidences above
# 1 - 2^-11 and is finer than u / 4000 elsewhere. From 1/8 on a bin is 2^-16 wide. Bin 0 is a confidence of 1.
_OFFSET = np.float32(2.0**-11)
_SHIFT = np.int32(23 - 13)
_FIRST = np.int32((127 - 11) << 13)
_KNEE = np.float32(2.0**-3)
_FINE_BINS = np.int32((127 - 3) << 13) - _FIRST
_COARSE_BINS_PER_UNIT = np.float32(2.0**16)
BINS = int(_FINE_BINS) + 57344 + 32 + 1
_BLOCK = 65536  # pixels of which the bins are found before they are counted: they stay in the cache


@njit(cache=True, nogil=True)
def _find_bins(labels, confidences, classes, bins):
    """Write label * BINS + bin of each pixel to `bins`; return how many confidences are not between 0 and 1.

    A label that is no class counts as the label `classes`.
    """
    outside = np.int32(0)
    for i in range(labels.size):
        u = np.float32(1) - confidences[i]
        outside += np.int32(not (np.float32(0) <= u <= np.float32(1)))  # also counts NaN
        shifted = u + _OFFSET
        fine = (float32_bits(shifted) >> _SHIFT) - _FIRST
        coarse = _FINE_BINS + np.int32((shifted - _KNEE) * _COARSE_BINS_PER_UNIT)
        row = min(np.int32(labels[i]), np.int32(classes))
        bins[i] = np.uint32(row * np.int32(BINS) + (fine if shifted < _KNEE else coarse))
    return outside


@njit(cache=True, nogil=True)
def _keep_every(stride, labels, bins, until_next):
    """Move every stride-th bin of each label to the front of `bins`; return how many.

    until_next int64 [256] says for each label how many pixels to skip; it is carried on from block to block.
    """
    n = 0
    for i in range(labels.size):
        label = labels[i]
        if until_next[label] == 0:
            bins[n] = bins[i]
            n += 1
            until_next[label] = stride
        until_next[label] -= 1
    return n


@njit(cache=True, nogil=True)
def _count(bins, low, high):
    """Add 1 to the count of each bin. A count is high + low: the bytes of `low` stay in the cache, int64 would not."""
    for i in range(bins.size):
        count = low[bins[i]] + 1
        low[bins[i]] = count  # 256 becomes 0
        if count == 256:
            high[bins[i]] += 256


@njit(cache=True, nogil=True)
def _add(labels, confidences, stride, low, high):
    """Count every stride-th pixel of each class; return how many confidences are not between 0 and 1."""
    bins, until_next = np.empty(min(_BLOCK, labels.size), np.uint32), np.zeros(256, np.int64)
    outside = 0
    for start in range(0, labels.size, _BLOCK):
        block = labels[start : start + _BLOCK]
        outside += _find_bins(block, confidences[start : start + _BLOCK], low.size // BINS - 1, bins)
        if outside == 0:
            n = block.size if stride == 1 else _keep_every(stride, block, bins, until_next)
            _count(bins[:n], low, high)
    return outside


def _smallest_confidence(bin):
    """Return the smallest confidence of a bin, so that `>=` keeps every pixel of the bin."""
    if bin < _FINE_BINS:
        above = float(np.int32((bin + 1 + int(_FIRST)) << int(_SHIFT)).view(np.float32))
    else:
        above = float(_KNEE) + (bin + 1 - int(_FINE_BINS)) / float(_COARSE_BINS_PER_UNIT)
    above -= float(_OFFSET)
    # 1 - confidence is a multiple of 2^-24 in float32; above 1/2 it has been rounded to one.
    largest = math.ceil(above * 2**24 - 1) / 2**24 if above <= 0.5 else above
    return max(1.0 - largest, 2.0**-24)


class ConfidenceHistogram:
    """Count, for each class, the confidences of the pixels that have the class as their label.

    counts is int64 [C, BINS]; predicted, int64 [C], counts every pixel, also those that a stride leaves out.
    Histograms of different images add up: `a + b` is the histogram of both.
    """

    def __init__(self, classes: int):
        # The last row takes the pixels without a class.
        self._low = np.zeros((classes + 1, BINS), np.uint8)
        self._high = np.zeros((classes + 1, BINS), np.int64)
        self.predicted = np.zeros(classes, np.int64)

    @property
    def counts(self) -> np.ndarray:
        return self._high[:-1] + self._low[:-1]

    def add(self, label: np.ndarray, confidence: np.ndarray, stride: int = 1) -> None:
        """Count one image: uint8 [H, W] and float32 [H, W]; 255 is left out.

        With a stride, every stride-th pixel of each class counts, in raster order from the first on (the authors of
        CBST use 4). Raises UdasegError for other classes and for confidences that are not between 0 and 1.
        """
        if label.shape != confidence.shape or label.dtype != np.uint8 or confidence.dtype != np.float32:
            raise UdasegError(
                f"label is {label.dtype} {list(label.shape)} and confidence {confidence.dtype} "
                f"{list(confidence.shape)}, expected uint8 and float32 of one shape",
                "pass the label and the confidence of one image",
            )
        if stride < 1:
            raise UdasegError(f"stride is {stride}, expected 1 or more", "1 counts every pixel")
        predicted = count_classes(label, len(self.predicted))
        pixels = np.ascontiguousarray(label).reshape(-1), np.ascontiguousarray(confidence).reshape(-1)
        outside = _add(*pixels, stride, self._low.reshape(-1), self._high.reshape(-1))
        if outside:
            raise UdasegError(f"{outside} confidences are not between 0 and 1", "make the predictions again")
        self.predicted += predicted

    def sparse_counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the places in `counts`, flat, that are not 0, and the counts there: int64 [N] each."""
        counts = self.counts.reshape(-1)
        places = np.flatnonzero(counts)
        return places, counts[places]

    def add_counts(self, places: np.ndarray, counts: np.ndarray, predicted: np.ndarray) -> None:
        """Add the `sparse_counts` and `predicted` of another histogram of these classes."""
        self._high[:-1].reshape(-1)[places] += counts
        self.predicted += predicted

    def __add__(self, other: Self) -> Self:
        return self._of(self.counts + other.counts, self.predicted + other.predicted)

    def sum_of_all(self) -> Self:
        """Return the sum of the histograms of all processes."""
        return self._of(processes.sum_of_all(self.counts), processes.sum_of_all(self.predicted))

    def _of(self, counts: np.ndarray, predicted: np.ndarray) -> Self:
        histogram = type(self)(len(predicted))
        histogram._high[:-1], histogram.predicted = counts, predicted
        return histogram


def _rank(count, p):
    """Return floor(count * p) with p rounded to a decimal number: 0.1 + 0.2 counts as 0.3, and 10 * 0.3 is 3."""
    return math.floor(int(count) * Fraction(repr(round(float(p), 12))))


def _order_statistic(counts, p):
    """Return the confidence of rank floor(n p) in descending order; 1 where that rank is 0."""
    if not 0 <= p <= 1:
        raise UdasegError(f"p is {p}, expected a share from 0 to 1", "p: 0.2 keeps the most confident fifth")
    cumulated = np.cumsum(counts)
    rank = _rank(cumulated[-1], p)
    return np.float32(_smallest_confidence(int(np.searchsorted(cumulated, rank))) if rank else 1)


def cbst_thresholds(histogram: ConfidenceHistogram, p: float) -> np.ndarray:
    """Return the threshold of each class, float32 [C]: the confidence that a share p of its pixels reaches.

    For a class with n pixels it is the value of rank floor(n p) in descending order, lowered to the edge of its bin:
    by less than 2^-16 + 2^-24, and by nothing above 1 - 2^-14. So `>=` keeps at least floor(n p) pixels. A class that
    is never predicted, or whose rank is 0, gets 1. Raises UdasegError for a p outside 0 to 1. Source: CBST, eq. 8.
    """
    return np.array([_order_statistic(counts, p) for counts in histogram.counts], np.float32)


def st_thresholds(histogram: ConfidenceHistogram, p: float) -> np.ndarray:
    """Return the threshold of plain self-training, float32 [C]: one value, over the pixels of all classes together."""
    return np.full(len(histogram.predicted), _order_statistic(histogram.counts.sum(0), p), np.float32)
