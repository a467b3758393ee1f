"""The rule of class-balanced self-training, on probabilities and fused with the upsampling."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udaseg.errors import UdasegError
from udaseg.inference.confidence import label_and_confidence
from udaseg.pseudo.label_files import argmax_decides, pseudo_label, select
from udaseg.pseudo.thresholds import ConfidenceHistogram, cbst_thresholds

# Ten pixels and three classes, worked through by hand with p = 0.5.
P = np.array(
    [
        [0.70, 0.20, 0.10],
        [0.60, 0.35, 0.05],
        [0.55, 0.25, 0.20],
        [0.52, 0.40, 0.08],
        [0.30, 0.65, 0.05],
        [0.45, 0.48, 0.07],
        [0.40, 0.38, 0.22],
        [0.90, 0.05, 0.05],
        [0.34, 0.33, 0.33],
        [0.20, 0.50, 0.30],
    ],
    np.float32,
).T


def test_worked_example():
    X = 255
    assert select(P, np.array([0.60, 0.65, 1.0])).tolist() == [0, 0, X, X, 1, X, X, 0, X, X]
    assert select(P, np.full(3, 0.55)).tolist() == [0, 0, 0, X, 1, X, X, 0, X, X]


def test_the_winner_is_not_the_plain_argmax():
    thresholds = np.array([0.95, 0.3])
    assert select(np.array([[0.6], [0.4]]), thresholds).tolist() == [1]
    logits_CHW = np.log(np.array([0.6, 0.4], np.float32)).reshape(2, 1, 1)
    assert pseudo_label(logits_CHW, 4, 4, True, thresholds).tolist() == [[1] * 4] * 4


def some_logits(seed=0, classes=5):
    return (np.random.default_rng(seed).normal(size=(classes, 8, 9)) * 2).astype(np.float16)


thresholds_of_5 = st.one_of(
    st.lists(st.floats(0.0625, 1.0, width=32), min_size=5, max_size=5),
    st.lists(st.floats(0.53125, 1.0, width=32), min_size=5, max_size=5),
    st.floats(0.0625, 1.0, width=32).map(lambda value: [value] * 5),
)


@settings(max_examples=60, deadline=None)
@given(thresholds_of_5, st.booleans())
def test_fused_kernel_follows_the_rule(thresholds, align_corners):
    thresholds = np.array(thresholds, np.float32)
    logits_CHW = some_logits()
    full_1CHW = torch.nn.functional.interpolate(
        torch.from_numpy(logits_CHW.astype(np.float32))[None], (64, 72), mode="bilinear", align_corners=align_corners
    )
    p_CHW = full_1CHW.softmax(1)[0].numpy()
    differs = pseudo_label(logits_CHW, 64, 72, align_corners, thresholds) != select(p_CHW, thresholds)
    # In another order of operations only pixels on the edge of a decision may turn out otherwise.
    best, second = np.sort(p_CHW / thresholds[:, None, None], axis=0)[[-1, -2]]
    assert not (differs & (np.abs(best - 1) > 1e-5) & (best - second > 1e-5 * best)).any()


@settings(max_examples=60, deadline=None)
@given(thresholds_of_5)
def test_where_argmax_decides_it_does(thresholds):
    thresholds = np.array(thresholds, np.float32)
    if not argmax_decides(thresholds):
        return
    p_CN = np.random.default_rng(0).dirichlet(np.full(5, 0.3), 3000).T.astype(np.float32)
    plain = np.where(p_CN.max(0) >= thresholds[p_CN.argmax(0)], p_CN.argmax(0), 255)
    np.testing.assert_array_equal(select(p_CN, thresholds), plain)


def test_argmax_does_not_decide_when_only_the_sums_of_two_thresholds_exceed_one():
    assert not argmax_decides(np.array([0.95, 0.3]))
    assert argmax_decides(np.array([0.95, 0.51]))
    assert argmax_decides(np.array([0.3, 0.3]))


def test_every_class_that_has_a_rank_keeps_at_least_so_many_of_its_pixels():
    logits_CHW = some_logits(3)
    label, confidence = label_and_confidence(logits_CHW, 64, 72, True)
    histogram = ConfidenceHistogram(5)
    histogram.add(label, confidence)
    for p in (0.02, 0.2, 0.5):
        thresholds = cbst_thresholds(histogram, p)
        own = confidence >= thresholds[label]
        assert all(own[label == c].sum() >= int(histogram.predicted[c] * p) for c in range(5))
        if argmax_decides(thresholds):
            kept = pseudo_label(logits_CHW, 64, 72, True, thresholds)
            np.testing.assert_array_equal(kept, np.where(own, label, 255))


def test_lower_thresholds_never_drop_a_pixel():
    kept = [
        (pseudo_label(some_logits(), 64, 72, True, np.array([0.9, 0.4, 0.7, 0.6, 0.5]) * s) != 255)
        for s in (1, 0.8, 0.5)
    ]
    assert (kept[0] <= kept[1]).all()
    assert (kept[1] <= kept[2]).all()


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [([0.5] * 4, "4 thresholds for 5"), ([0.5, 0, 0.5, 0.5, 0.5], "above 0"), ([np.nan] * 5, "finite")],
)
def test_refuses_thresholds_that_do_not_fit(thresholds, message):
    with pytest.raises(UdasegError, match=message):
        pseudo_label(some_logits(), 8, 8, True, np.array(thresholds))
