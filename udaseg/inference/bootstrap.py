"""The interval of a mean IoU over images, by the bootstrap: how far it moves with other images of the same kind."""

import numpy as np

from udaseg.parallel import processes

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0


class ImageCounts:
    """The counts that the IoU of each image needs: int64 [images, 3, C], of right, true and predicted pixels."""

    def __init__(self, images: int, classes: int):
        self.counts_N3C = np.zeros((images, 3, classes), np.int64)

    def add(self, i: int, confusion_CC: np.ndarray) -> None:
        """Take the counts of image i from its confusion matrix, int64 [C, C] (rows: truth)."""
        self.counts_N3C[i] = confusion_CC.diagonal(), confusion_CC.sum(1), confusion_CC.sum(0)

    def interval(self) -> tuple[float, float] | None:
        """Return `miou_interval` of the images of all processes."""
        return miou_interval(processes.sum_of_all(self.counts_N3C))


def miou_interval(counts_N3C: np.ndarray) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of the mIoU over images (Efron and Tibshirani, chapter 13).

    counts: int64 [N, 3, C], the right, true and predicted pixels of each image and class. Each of 1000 resamples draws
    N images with replacement and adds up their counts; its mIoU is over the classes that occur in it. The bounds are
    the 2.5th and the 97.5th percentile. None for less than two images, and where no class occurs. The draws are always
    the same.
    """
    images, _, classes = counts_N3C.shape
    if images < 2 or not counts_N3C.any():
        return None
    rng = np.random.default_rng(SEED)
    # Whole numbers below 2^53: the products of floats are exact.
    flat_NF = counts_N3C.reshape(images, -1).astype(np.float64)
    sums = [np.bincount(rng.integers(images, size=images), minlength=images) @ flat_NF for _ in range(RESAMPLES)]
    right_RC, truth_RC, predicted_RC = np.array(sums).reshape(RESAMPLES, 3, classes).transpose(1, 0, 2)
    union_RC = truth_RC + predicted_RC - right_RC
    iou_RC = right_RC / np.maximum(union_RC, 1)
    occurs_RC = union_RC > 0
    mious = iou_RC.sum(1)[occurs_RC.any(1)] / occurs_RC.sum(1)[occurs_RC.any(1)]
    low, high = np.percentile(mious, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
