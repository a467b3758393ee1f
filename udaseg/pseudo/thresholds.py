"""Class-wise confidence thresholds from mergeable histograms (CBST, eq. 8 and Algorithm 2; ST is its one-class case).

The threshold of a class is an order statistic of the confidences of all its pixels in all pictures. The lists that
would be sorted take tens of gigabytes; a histogram takes 0.7 MB a class however many pictures there are, and the
histograms of two halves add up to that of the whole.
"""

import math
from fractions import Fraction

import numpy as np
from numba import njit

from udaseg.confidence import bits_of
from udaseg.errors import UdasegError
from udaseg.metrics import class_counts

# The bin of a confidence is the one of its doubt u = 1 - confidence, because softmax saturates: most pixels of an easy
# class lie within 1e-3 of 1. Below 1/8 the bin is u + 2^-11 as a float with 13 bits of mantissa, which separates all
# float32 confidences above 1 - 2^-11 and is finer than u / 4000 elsewhere; above, it is 2^-16 wide. Bin 0 is 1 itself.
_OFFSET = np.float32(2.0**-11)
_SHIFT = np.int32(23 - 13)
_FIRST = np.int32((127 - 11) << 13)
_KNEE = np.float32(2.0**-3)
_FINE = np.int32((127 - 3) << 13) - _FIRST
_GRID = np.float32(2.0**16)
BINS = int(_FINE) + 57344 + 32 + 1
_BLOCK = 4096


@njit(cache=True, nogil=True)
def _count(label, confidence, stride, counts):
    """Count every stride-th pixel of each class; return how many of the confidences are outside 0 to 1."""
    classes = counts.shape[0]
    bins = np.empty(_BLOCK, np.uint32)
    seen = np.zeros(classes, np.int64)
    outside = 0
    for start in range(0, label.size, _BLOCK):
        n = min(_BLOCK, label.size - start)
        labels, confidences = label[start : start + n], confidence[start : start + n]
        for i in range(n):
            doubt = np.float32(1) - confidences[i]
            outside += not (np.float32(0) <= doubt <= np.float32(1))  # also counts NaN
            place = doubt + _OFFSET
            fine = (bits_of(place) >> _SHIFT) - _FIRST
            coarse = _FINE + np.int32((place - _KNEE) * _GRID)
            bins[i] = fine if place < _KNEE else coarse
        if outside > 0:
            continue
        if stride == 1:
            for i in range(n):
                if labels[i] < classes:
                    counts[labels[i], bins[i]] += 1
        else:
            for i in range(n):
                c = labels[i]
                if c < classes:
                    if seen[c] == 0:
                        counts[c, bins[i]] += 1
                        seen[c] = stride
                    seen[c] -= 1
    return outside


def _smallest(bin):
    """Return the smallest confidence of a bin, so that `>=` keeps every pixel of the bin."""
    if bin < _FINE:
        above = float(np.int32((bin + 1 + int(_FIRST)) << int(_SHIFT)).view(np.float32))
    else:
        above = float(_KNEE) + (bin + 1 - int(_FINE)) / float(_GRID)
    above -= float(_OFFSET)
    # Doubts are multiples of 2^-24; those above 1/2 have been rounded to one.
    largest = math.ceil(above * 2**24 - 1) / 2**24 if above <= 0.5 else above
    return max(1.0 - largest, 2.0**-24)


class ConfidenceHistogram:
    """Count, class by class, the confidences of the pixels that plain argmax gives to the class.

    counts is int64 [C, BINS]; predicted, int64 [C], counts every pixel, also those that a stride leaves out.
    Histograms of different pictures add up: `a + b` is the histogram of both.
    """

    def __init__(self, classes: int):
        self.counts = np.zeros((classes, BINS), np.int64)
        self.predicted = np.zeros(classes, np.int64)

    def add(self, label: np.ndarray, confidence: np.ndarray, stride: int = 1) -> None:
        """Count one picture: uint8 [H, W] and float32 [H, W]; 255 is left out.

        With a stride, of each class in each picture every stride-th pixel in raster order counts, the first one
        included (the CBST authors use 4). Raises UdasegError for other classes and for confidences outside 0 to 1.
        """
        if label.shape != confidence.shape or label.dtype != np.uint8 or confidence.dtype != np.float32:
            raise UdasegError(
                f"label is {label.dtype} {list(label.shape)} and confidence {confidence.dtype} "
                f"{list(confidence.shape)}, expected uint8 and float32 of one shape"
            )
        if stride < 1:
            raise UdasegError(f"stride is {stride}, expected 1 or more", "1 counts every pixel")
        predicted = class_counts(label, len(self.predicted))
        pixels = np.ascontiguousarray(label).reshape(-1), np.ascontiguousarray(confidence).reshape(-1)
        outside = _count(*pixels, stride, self.counts)
        if outside:
            raise UdasegError(f"{outside} confidences are not between 0 and 1", "make the predictions again")
        self.predicted += predicted

    def __add__(self, other: "ConfidenceHistogram") -> "ConfidenceHistogram":
        both = ConfidenceHistogram(len(self.predicted))
        np.add(self.counts, other.counts, out=both.counts)
        np.add(self.predicted, other.predicted, out=both.predicted)
        return both


def _rank(count, p):
    """Return floor(count * p) with p the decimal number that was meant: 0.1 + 0.2 is 0.3, and 10 * 0.3 is 3."""
    return math.floor(int(count) * Fraction(repr(round(float(p), 12))))


def _order_statistic(counts, p):
    """Return the confidence of the rank floor(n p) from above; 1 where that rank is 0."""
    if not 0 <= p <= 1:
        raise UdasegError(f"p is {p}, expected a share from 0 to 1", "p: 0.2 keeps the most confident fifth")
    cumulated = np.cumsum(counts)
    rank = _rank(cumulated[-1], p)
    return np.float32(_smallest(int(np.searchsorted(cumulated, rank))) if rank else 1)


def cbst_thresholds(histogram: ConfidenceHistogram, p: float) -> np.ndarray:
    """Return the threshold of each class, float32 [C]: the confidence that its share p of pixels reaches.

    For a class with n pixels it is the value of rank floor(n p) in descending order, lowered to the edge of its bin:
    by less than 2^-16, and by nothing above 1 - 2^-14. At least floor(n p) pixels are therefore kept by `>=`. A class
    that is never predicted, or whose rank is 0, gets 1. Raises UdasegError for a p outside 0 to 1.
    """
    return np.array([_order_statistic(counts, p) for counts in histogram.counts], np.float32)


def st_thresholds(histogram: ConfidenceHistogram, p: float) -> np.ndarray:
    """Return the threshold of plain self-training, float32 [C], one value for all: the pixels are one pool."""
    return np.full(len(histogram.predicted), _order_statistic(histogram.counts.sum(0), p), np.float32)
