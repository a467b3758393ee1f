"""The interval of a mean IoU over images: against resamples that are scored as any evaluation is."""

import numpy as np
import pytest

from udaseg.inference.bootstrap import RESAMPLES, SEED, ImageCounts, miou_interval
from udaseg.metrics import confusion, scores


def confusions(images=12, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for i in range(images):
        truth = rng.integers(0, classes - (i > 0), (8, 9)).astype(np.uint8)  # the last class is in one image alone
        prediction = np.where(rng.random((8, 9)) < 0.3 + 0.05 * i, truth, rng.integers(0, classes - 1, (8, 9)))
        found.append(confusion(truth, prediction.astype(np.uint8), classes))
    return np.array(found)


def counts_of(confusion_NCC):
    counts = ImageCounts(len(confusion_NCC), confusion_NCC.shape[1])
    for i, matrix in enumerate(confusion_NCC):
        counts.add(i, matrix)
    return counts


def test_the_bounds_are_percentiles_of_resamples_that_are_scored_exactly():
    confusion_NCC = confusions()
    rng, mious = np.random.default_rng(SEED), []
    for _ in range(RESAMPLES):
        drawn = confusion_NCC[rng.integers(len(confusion_NCC), size=len(confusion_NCC))]
        mious.append(scores(drawn.sum(0), "abcd").miou)
    assert counts_of(confusion_NCC).interval() == pytest.approx(np.percentile(mious, [2.5, 97.5]), abs=1e-12)
    low, high = counts_of(confusion_NCC).interval()
    assert low < scores(confusion_NCC.sum(0), "abcd").miou < high


def test_equal_images_leave_no_doubt_and_more_images_leave_less():
    one = confusions(1)
    low, high = counts_of(one.repeat(5, 0)).interval()
    assert low == high == pytest.approx(scores(one[0], "abcd").miou)
    widths = [np.diff(counts_of(confusions().repeat(times, 0)).interval())[0] for times in (1, 4, 16)]
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2]


def test_counts_of_large_datasets_are_exact():
    large = confusions() * 2**40
    assert counts_of(large).interval() == counts_of(confusions()).interval()


@pytest.mark.parametrize("images", [0, 1])
def test_fewer_than_two_images_have_no_interval(images):
    assert counts_of(confusions(1)[:images].reshape(images, 4, 4)).interval() is None


def test_unlabelled_images_have_none():
    assert miou_interval(np.zeros((3, 3, 4), np.int64)) is None
