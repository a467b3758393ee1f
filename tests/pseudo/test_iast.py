"""Image-adaptive thresholds against the formula on plain lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udaseg.config import Iast
from udaseg.inference.confidence import where_confident
from udaseg.pseudo.policies import iast

unit = st.floats(0, 1, width=32)


def some_picture(seed, classes=4):
    rng = np.random.default_rng(seed)
    label = rng.choice(np.array([0, 1, 2, 255], np.uint8), (30, 40))
    return label, rng.random((30, 40), np.float32), classes


def test_sorts_the_confidences_of_each_class():
    label, confidence, classes = some_picture(0)
    ascending = iast.sorted_by_class(label, confidence, classes)
    assert len(ascending) == 4
    for c in range(4):
        np.testing.assert_array_equal(ascending[c], np.sort(confidence[label == c]))


@settings(max_examples=100, deadline=None)
@given(st.lists(unit, max_size=30), unit, st.floats(0, 1))
def test_percentile_is_that_of_the_confidences_and_the_threshold(confidences, theta, share):
    ascending = np.sort(np.array(confidences, np.float32))
    found = iast.percentile_with(ascending, theta, share)
    assert found == pytest.approx(np.percentile([*confidences, theta], 100 * share), abs=1e-9)


@pytest.mark.parametrize("chosen", [Iast(), Iast(alpha=0.5, beta=0.3, gamma=2.0)])
def test_follows_the_published_formula(chosen):
    thetas = np.array([0.9, 0.2, 0.6, 0.7])
    label, confidence, classes = some_picture(1)
    moved = iast.adapted(thetas, iast.sorted_by_class(label, confidence, classes), chosen)
    for c, theta in enumerate(thetas):
        pool = [theta, *confidence[label == c].tolist()]
        own = np.percentile(pool, 100 * (1 - chosen.alpha * theta**chosen.gamma))
        assert moved[c] == pytest.approx(min(chosen.beta * theta + (1 - chosen.beta) * own, 0.999))
    assert moved[3] == thetas[3]  # not in the image


def test_thresholds_stay_below_one():
    sure = [np.ones(1000, np.float32)]
    theta = np.array([0.9])
    for _ in range(200):
        theta = iast.adapted(theta, sure, Iast())
    assert theta.tolist() == [0.999]
    label, confidence = np.zeros((2, 2), np.uint8), np.full((2, 2), 0.9995, np.float32)
    assert where_confident(label, confidence, theta).tolist() == [[0, 0], [0, 0]]


def test_keeps_what_reaches_the_threshold_of_its_class():
    label = np.array([0, 0, 1, 1, 255], np.uint8)
    confidence = np.array([0.5, 0.4999, 0.75, 0.5, 1.0], np.float32)
    assert where_confident(label, confidence, np.array([0.5, 0.75])).tolist() == [0, 255, 1, 255, 255]
