"""Class-wise confidence thresholds from mergeable histograms (CBST, eq. 8 and Algorithm 2; ST is its one-class case).

The threshold of a class is an order statistic of the confidences of all its pixels in all images. The lists that
would be sorted take tens of gigabytes; a histogram takes 0.7 MB a class however many images there are, and the
histograms of two halves add up to that of the whole.
"""

import math
from fractions import Fraction

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.kernels import float32_bits
from udaseg.metrics import class_counts
from udaseg.parallel import processes

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
# A count is high + low, where low is a byte: 2 MB of bytes stay in the cache where 19 MB of int64 do not. A confidence
# of 1 has this many places, taken in turns, because neighbours that share a place wait for each other.
_TURNS = 16
_WIDTH = BINS + _TURNS - 1
_BLOCK = 65536
_APART = 8  # pixels that are counted one after the other


@njit(cache=True, nogil=True)
def _place(labels, confidences, none, places):
    """Find the place of each pixel in the flat tables; return how many of the confidences are outside 0 to 1.

    `none` is the row of what is labelled with no class.
    """
    outside = np.int32(0)
    for i in range(labels.size):
        doubt = np.float32(1) - confidences[i]
        outside += np.int32(not (np.float32(0) <= doubt <= np.float32(1)))  # also counts NaN
        shifted = doubt + _OFFSET
        fine = (float32_bits(shifted) >> _SHIFT) - _FIRST
        coarse = _FINE + np.int32((shifted - _KNEE) * _GRID)
        bin = np.int32(_TURNS - 1) + (fine if shifted < _KNEE else coarse)
        bin = np.int32(i % _TURNS) if doubt == np.float32(0) else bin
        row = np.int32(labels[i])
        places[i] = np.uint32((row if row < none else none) * np.int32(_WIDTH) + bin)
    return outside


@njit(inline="always")
def _increment(low, high, place):
    count = low[place] + 1
    low[place] = count  # a byte: 256 becomes 0
    if count == 256:
        high[place] += 256


@njit(cache=True, nogil=True)
def _count(places, low, high):
    part = places.size // _APART
    for i in range(part):  # far apart, because neighbours often share a place, and the second waits for the first
        for k in range(_APART):
            _increment(low, high, places[k * part + i])
    for i in range(_APART * part, places.size):
        _increment(low, high, places[i])


@njit(cache=True, nogil=True)
def _every(stride, labels, places, seen):
    """Move every stride-th place of each class to the front; return how many. seen [256] counts from block to block."""
    n = 0
    for i in range(labels.size):
        label = labels[i]
        if seen[label] == 0:
            places[n] = places[i]
            n += 1
            seen[label] = stride
        seen[label] -= 1
    return n


@njit(cache=True, nogil=True)
def _add(label, confidence, stride, low, high):
    """Count every stride-th pixel of each class; return how many of the confidences are outside 0 to 1."""
    none = np.int32(low.size // _WIDTH - 1)
    places = np.empty(min(_BLOCK, label.size), np.uint32)
    seen = np.zeros(256, np.int64)
    outside = 0
    for start in range(0, label.size, _BLOCK):
        labels = label[start : start + _BLOCK]
        outside += _place(labels, confidence[start : start + _BLOCK], none, places)
        n = labels.size if stride == 1 else _every(stride, labels, places, seen)
        if outside == 0:
            _count(places[:n], low, high)
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
    Histograms of different images add up: `a + b` is the histogram of both.
    """

    def __init__(self, classes: int):
        self._low = np.zeros((classes + 1, _WIDTH), np.uint8)
        self._high = np.zeros((classes + 1, _WIDTH), np.int64)
        self.predicted = np.zeros(classes, np.int64)

    @property
    def counts(self) -> np.ndarray:
        counts = self._high[:-1] + self._low[:-1]
        counts[:, _TURNS - 1] = counts[:, :_TURNS].sum(1)
        return counts[:, _TURNS - 1 :]

    def add(self, label: np.ndarray, confidence: np.ndarray, stride: int = 1) -> None:
        """Count one image: uint8 [H, W] and float32 [H, W]; 255 is left out.

        With a stride, of each class in each image every stride-th pixel in raster order counts, the first one
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
        outside = _add(*pixels, stride, self._low.reshape(-1), self._high.reshape(-1))
        if outside:
            raise UdasegError(f"{outside} confidences are not between 0 and 1", "make the predictions again")
        self.predicted += predicted

    def __add__(self, other: "ConfidenceHistogram") -> "ConfidenceHistogram":
        both = ConfidenceHistogram(len(self.predicted))
        np.add(self.counts, other.counts, out=both._high[:-1, _TURNS - 1 :])
        np.add(self.predicted, other.predicted, out=both.predicted)
        return both

    def of_all(self) -> "ConfidenceHistogram":
        """Add up the histograms of all processes."""
        both = ConfidenceHistogram(len(self.predicted))
        both._high[:-1, _TURNS - 1 :] = processes.sum_of_all(self.counts)
        both.predicted[:] = processes.sum_of_all(self.predicted)
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
    by less than 2^-16 + 2^-24, and by nothing above 1 - 2^-14. At least floor(n p) pixels are therefore kept by `>=`.
    A class that is never predicted, or whose rank is 0, gets 1. Raises UdasegError for a p outside 0 to 1.
    """
    return np.array([_order_statistic(counts, p) for counts in histogram.counts], np.float32)


def st_thresholds(histogram: ConfidenceHistogram, p: float) -> np.ndarray:
    """Return the threshold of plain self-training, float32 [C], one value for all: the pixels are one pool."""
    return np.full(len(histogram.predicted), _order_statistic(histogram.counts.sum(0), p), np.float32)
