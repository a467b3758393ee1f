"""Thresholds from histograms against sorting everything."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from udaseg.errors import UdasegError
from udaseg.pseudo.thresholds import BINS, ConfidenceHistogram, cbst_thresholds, st_thresholds

CLASSES = 3
confidences = arrays(
    np.float32,
    st.integers(1, 60),
    # Dense where softmax saturates, and with ties.
    elements=st.one_of(
        st.floats(2**-8, 1, width=32),
        st.sampled_from([1.0, 0.5, 1 - 2**-24, 1 - 2**-11, 1 - 2**-3, 0.875, 1 - 2**-20]),
    ),
)
shares = st.sampled_from([0.05, 0.2, 0.25, 0.3, 0.5, 0.75, 1.0])


def counted(label, confidence, stride=1, classes=CLASSES):
    histogram = ConfidenceHistogram(classes)
    histogram.add(np.asarray(label, np.uint8).reshape(1, -1), np.asarray(confidence, np.float32).reshape(1, -1), stride)
    return histogram


def by_sorting(values, p):
    ordered = np.sort(values)[::-1]
    rank = len(ordered) * Fraction(str(p)) // 1
    return ordered[rank - 1] if rank else np.float32(1)


@st.composite
def images(draw):
    confidence = draw(confidences)
    label = draw(arrays(np.uint8, len(confidence), elements=st.sampled_from([0, 1, 2, 255])))
    return label, confidence


@settings(max_examples=150, deadline=None)
@given(images(), shares)
@example((np.zeros(20, np.uint8), np.full(20, 0.054580696, np.float32)), 0.05)  # at the edge of a bin
def test_is_the_order_statistic_to_the_width_of_a_bin(image, p):
    label, confidence = image
    thresholds = cbst_thresholds(counted(label, confidence), p)
    for c in range(CLASSES):
        own = confidence[label == c]
        exact = by_sorting(own, p)
        # The doubt of a small confidence is rounded to a float32, by 2^-25 at the most, and so is what it is added to.
        assert 0 <= exact - thresholds[c] <= 2**-16 + 2**-24
        if exact > 1 - 2**-11:
            assert thresholds[c] == exact
        assert (own >= thresholds[c]).sum() >= len(own) * Fraction(str(p)) // 1


@settings(max_examples=50, deadline=None)
@given(images(), images(), shares)
def test_merging_is_union_and_order_does_not_matter(one, other, p):
    label, confidence = np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
    whole = counted(label, confidence)
    parts = counted(*one) + counted(*other)
    turned = counted(label[::-1], confidence[::-1])
    for histogram in (parts, turned):
        np.testing.assert_array_equal(histogram.counts, whole.counts)
        np.testing.assert_array_equal(histogram.predicted, whole.predicted)
    np.testing.assert_array_equal(cbst_thresholds(parts, p), cbst_thresholds(whole, p))


@settings(max_examples=50, deadline=None)
@given(images())
def test_a_larger_share_never_raises_a_threshold(image):
    histogram = counted(*image)
    for policy in (cbst_thresholds, st_thresholds):
        falling = np.array([policy(histogram, p) for p in (0.25, 0.5, 0.75, 1.0)])
        # A rank of 0 gives 1, the highest there is.
        assert (np.diff(falling, axis=0) <= 0).all()


def test_worked_example():
    label = [0, 0, 0, 0, 1, 1, 0, 0, 0, 1]
    confidence = [0.70, 0.60, 0.55, 0.52, 0.65, 0.48, 0.40, 0.90, 0.34, 0.50]
    histogram = counted(label, confidence)
    np.testing.assert_allclose(cbst_thresholds(histogram, 0.5), [0.60, 0.65, 1.0], atol=2**-16)
    np.testing.assert_allclose(st_thresholds(histogram, 0.5), [0.55] * 3, atol=2**-16)
    assert histogram.predicted.tolist() == [7, 3, 0]


def test_keeps_the_wanted_share_of_smooth_confidences():
    rng = np.random.default_rng(0)
    confidence = (1 / (1 + np.exp(-rng.normal(4, 3, 400_000)))).clip(0.1, 1).astype(np.float32)
    histogram = counted(np.zeros(len(confidence)), confidence, classes=1)
    for p in (0.2, 0.5, 0.8):
        exact = (confidence >= by_sorting(confidence, p)).sum()
        kept = (confidence >= cbst_thresholds(histogram, p)[0]).sum()
        assert exact <= kept <= exact * 1.0002


def test_saturated_confidences_give_one_and_stay_kept():
    confidence = np.array([1, 1, 1, 0.7], np.float32)
    assert cbst_thresholds(counted([0] * 4, confidence), 0.5)[0] == 1
    assert cbst_thresholds(counted([0] * 4, confidence), 1)[0] <= np.float32(0.7)


def test_p_is_the_decimal_that_was_meant():
    confidence = np.linspace(0.9, 0.1, 10, dtype=np.float32)
    histogram = counted([0] * 10, confidence)
    schedule = 0.1 + 0.2  # 0.30000000000000004
    np.testing.assert_allclose(cbst_thresholds(histogram, schedule)[0], confidence[2], atol=2**-16)
    # 100 * 0.29 is 28.999999999999996 in binary; 0.2 + six times 0.05 is 0.49999999999999994.
    hundred = np.linspace(0.99, 0.01, 100, dtype=np.float32)
    np.testing.assert_allclose(cbst_thresholds(counted([0] * 100, hundred), 0.29)[0], hundred[28], atol=2**-16)
    p = 0.2
    for _ in range(6):
        p += 0.05
    np.testing.assert_allclose(cbst_thresholds(histogram, p)[0], confidence[4], atol=2**-16)


def test_stride_takes_every_fourth_pixel_of_a_class_in_each_image():
    rng = np.random.default_rng(1)
    label = rng.choice(np.array([0, 1, 2, 255], np.uint8), (70, 80))
    confidence = rng.uniform(0.3, 1, (70, 80)).astype(np.float32)
    strided, plain = ConfidenceHistogram(3), ConfidenceHistogram(3)
    for _ in range(2):
        strided.add(label, confidence, stride=4)
        for c in range(3):
            own = confidence[label == c][0::4]
            plain.add(np.full((1, len(own)), c, np.uint8), own.reshape(1, -1))
    np.testing.assert_array_equal(strided.counts, plain.counts)
    assert strided.predicted.tolist() == [2 * (label == c).sum() for c in range(3)]


def test_counts_of_many_pixels_are_exact():
    rng = np.random.default_rng(2)
    label = rng.choice(np.array([0, 1, 2, 255], np.uint8), 200_001)
    confidence = rng.choice(np.array([1, 0.99, 0.7, 0.3], np.float32), 200_001)
    histogram = counted(label, confidence)
    for c in range(3):
        own = np.sort(confidence[label == c])[::-1]
        found = histogram.counts[c]
        assert found[found > 0].tolist() == [(own == value).sum() for value in np.unique(own)[::-1]]
        assert found[0] == (own == 1).sum()


def test_a_class_of_one_pixel_counts_under_a_stride_and_has_rank_0_below_its_share():
    histogram = counted([0, 1], [0.8, 0.6], stride=4)
    assert histogram.counts.sum(1).tolist() == [1, 1, 0]
    assert cbst_thresholds(histogram, 0.9).tolist() == [1, 1, 1]


def test_memory_is_flat():
    assert ConfidenceHistogram(19).counts.nbytes == 19 * BINS * 8 < 20e6


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_refuses_a_share_outside_0_to_1(p):
    with pytest.raises(UdasegError, match="expected a share"):
        cbst_thresholds(counted([0], [0.5]), p)


@pytest.mark.parametrize(
    ("label", "confidence", "message"),
    [
        ([3], [0.5], "3"),
        ([0], [1.5], "not between 0 and 1"),
        ([0], [-0.5], "not between 0 and 1"),
        ([0], [np.nan], "not between 0 and 1"),
    ],
)
def test_refuses_other_classes_and_confidences_outside_0_to_1(label, confidence, message):
    with pytest.raises(UdasegError, match=message):
        counted(label, confidence)


def test_refuses_other_shapes_and_a_stride_of_0():
    histogram = ConfidenceHistogram(2)
    with pytest.raises(UdasegError, match="of one shape"):
        histogram.add(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.float32))
    with pytest.raises(UdasegError, match="stride is 0"):
        histogram.add(np.zeros((2, 2), np.uint8), np.ones((2, 2), np.float32), 0)
