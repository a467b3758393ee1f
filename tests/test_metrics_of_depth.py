"""The depth errors, against hand-computed values and a property of parts."""

import numpy as np
import pytest

from udaseg.metrics import DEPTH_ERRORS, DepthErrors


def errors(truth, estimate):
    counted = DepthErrors()
    counted.add(np.array(truth, float), np.array(estimate, float))
    return counted.document()


def test_by_hand():
    found = errors([[2.0, 4.0]], [[3.0, 4.0]])
    assert found["rel"] == pytest.approx(0.25)
    assert found["rel2"] == pytest.approx(0.25)
    assert found["rms"] == pytest.approx(np.sqrt(0.5))
    assert found["lrms"] == pytest.approx(np.log(1.5) / np.sqrt(2))
    assert [found[f"delta{k}"] for k in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert found["pixels"] == 2


def test_a_perfect_estimate():
    truth = np.random.default_rng(0).uniform(1, 80, (5, 6))
    found = errors(truth, truth)
    assert [found[name] for name in DEPTH_ERRORS] == [0, 0, 0, 0, 1, 1, 1]


def test_unknown_and_far_truth_does_not_count():
    found = errors([[0.0, np.inf, 655.35, 80.0]], [[5.0, 5.0, 5.0, 1e6]])
    assert (found["pixels"], found["rms"]) == (1, 0.0)
    found = errors([[0.0, np.inf]], [[1.0, 1.0]])
    assert (found["pixels"], found["rel"], found["delta1"]) == (0, None, None)


def test_estimates_are_bounded():
    assert errors([[40.0]], [[1e9]])["rms"] == pytest.approx(40.0)
    assert errors([[40.0]], [[0.0]])["rms"] == pytest.approx(39.99)


def test_images_add_up():
    rng = np.random.default_rng(1)
    truth, estimate = rng.uniform(1, 100, (2, 3, 7, 5))
    whole, parts = errors(truth, estimate), DepthErrors()
    for one, other in zip(truth, estimate, strict=True):
        parts.add(one, other)
    assert all(parts.document()[name] == pytest.approx(whole[name], rel=1e-12) for name in DEPTH_ERRORS)
