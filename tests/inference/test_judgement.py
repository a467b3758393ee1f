"""The scores that need no target label, against numbers computed by hand and against slower formulas."""

from math import log

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch.nn.functional import interpolate

from udaseg.inference.judgement.accuracy import (
    atc_accuracy,
    atc_threshold,
    expected_iou,
    expected_miou,
    fit_temperature,
)
from udaseg.inference.judgement.agreement import agreement, mean_agreements
from udaseg.inference.judgement.certainty import entropy, information, log_confidence, probabilities
from udaseg.inference.judgement.density import soft_neighbourhood_density
from udaseg.inference.judgement.distances import frechet_distance, share_distance
from udaseg.inference.judgement.sample import PIXELS, labels_at, pixels_at, values_at
from udaseg.inference.judgement.scores import SCORES, best_of_each, rank


def float32(values) -> np.ndarray:
    return np.array(values, np.float32)


def one_hot(classes, count) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes]


def test_the_threshold_is_the_quantile_of_the_accuracy():
    confidence, is_right = float32([0.9, 0.5, 0.7, 0.6, 0.8]), np.array([True, False, False, True, True])
    threshold = atc_threshold(confidence, is_right)
    assert threshold == np.float32(0.7)  # the third of five, because three of five are right
    assert atc_accuracy(confidence, threshold) == 0.6
    assert atc_accuracy(float32([0.95, 0.75, 0.7, 0.4]), threshold) == 0.75


def test_where_confidence_tells_right_from_wrong_the_predicted_accuracy_is_the_true_one():
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 100, 5000), rng.integers(0, 80, 700)
    threshold = atc_threshold(source, source > 60)
    assert atc_accuracy(target, threshold) == (target > 60).mean()


def test_where_nothing_is_right_nothing_is_predicted_to_be():
    threshold = atc_threshold(float32([0.5, 1.0]), np.array([False, False]))
    assert atc_accuracy(float32([1.0, 0.2]), threshold) == 0.0
    assert atc_accuracy(float32([1.0, 0.2]), atc_threshold(float32([0.5, 0.1]), np.array([True, True]))) == 1.0


def test_confidences_that_round_to_one_keep_their_order():
    logits = float32([[30, 0, 0], [60, 0, 0], [0, 1, 2]])
    assert (probabilities(logits).max(1)[:2] == 1).all()
    confidence = log_confidence(logits)
    assert confidence[1] > confidence[0] > confidence[2]
    assert np.exp(confidence[2]) == pytest.approx(0.6652410, abs=1e-6)


def test_entropies_are_those_computed_by_hand():
    values = entropy(float32([[0.7, 0.2, 0.1], [1, 0, 0], [1 / 3] * 3]))
    assert values == pytest.approx([0.801819, 0.0, log(3)], abs=1e-6)


def test_information_is_none_of_one_class_and_none_of_no_certainty():
    assert information(one_hot([0] * 8, 4)) == pytest.approx(0, abs=1e-6)
    assert information(np.full((8, 4), 0.25, np.float32)) == pytest.approx(0, abs=1e-6)
    assert information(one_hot([0, 1] * 4, 4)) == pytest.approx(log(2))


def test_the_temperature_of_logits_that_are_too_large_is_found():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20000, 5)).astype(np.float32)
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1).astype(np.uint8)  # drawn from the softmax
    labels[::3] = 255
    assert fit_temperature(logits, labels) == pytest.approx(1.0, rel=0.03)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3.0, rel=0.03)
    assert fit_temperature(logits, np.full(len(logits), 255, np.uint8)) == 1.0


def test_the_expected_iou_is_the_one_computed_by_hand():
    values = expected_iou(float32([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]))
    assert values == pytest.approx([1.5 / 2.2, 0.8 / 1.5])
    assert expected_iou(one_hot([0, 1, 1], 3)) == pytest.approx([1, 1, 0])
    logits = np.log(float32([[0.9, 0.1, 1e-9], [0.6, 0.4, 1e-9], [0.2, 0.8, 1e-9]]))
    miou = expected_miou(logits, 1.0, np.array([True, True, False]))
    assert miou == pytest.approx((1.5 / 2.2 + 0.8 / 1.5) / 2, abs=1e-6)


def test_the_expected_iou_of_calibrated_probabilities_is_the_true_one():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (100_000, 4)).astype(np.float32)
    truth, predicted = (logits + rng.gumbel(size=logits.shape)).argmax(1), logits.argmax(1)
    true = [((truth == c) & (predicted == c)).sum() / ((truth == c) | (predicted == c)).sum() for c in range(4)]
    assert expected_iou(probabilities(logits)) == pytest.approx(true, abs=0.01)


def test_the_density_is_the_formula_and_highest_where_all_are_alike():
    rng = np.random.default_rng(3)
    cloud = probabilities(rng.normal(0, 3, (40, 6)).astype(np.float32))
    unit = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
    entropies = []
    for i in range(len(unit)):
        similarity = np.exp(np.delete(unit @ unit[i], i).astype(np.float64) / 0.05)
        shares = similarity / similarity.sum()
        entropies.append(-(shares * np.log(shares)).sum())
    assert soft_neighbourhood_density(cloud) == pytest.approx(np.mean(entropies), abs=1e-4)
    cluster, two = one_hot([2] * 40, 6), one_hot([0] * 20 + [1] * 20, 6)
    assert soft_neighbourhood_density(cluster) == pytest.approx(log(39), abs=1e-4)
    assert soft_neighbourhood_density(two) == pytest.approx(log(19), abs=1e-4)
    directions = rng.normal(0, 1, (40, 6)).astype(np.float32)
    assert soft_neighbourhood_density(directions) < soft_neighbourhood_density(cluster)


def test_agreement_is_the_share_of_equal_labels():
    one, other = np.array([0, 1, 2, 2], np.uint8), np.array([0, 1, 1, 0], np.uint8)
    assert (agreement(one, one), agreement(one, other)) == (1.0, 0.5)
    assert mean_agreements([one]) == [None]
    assert mean_agreements([one, other, one]) == [0.75, 0.5, 0.75]


def test_the_distance_of_shares_is_half_of_the_difference():
    counts = np.array([30, 10, 0])
    assert share_distance(counts, 7 * counts) == 0
    assert share_distance(counts, np.array([1, 1, 0])) == 0.25
    assert share_distance(counts, np.array([0, 0, 5])) == 1


def test_the_distance_of_features_is_that_of_their_gaussians_without_a_unit():
    rng = np.random.default_rng(4)
    one = rng.normal(0, 1, (60, 5)).astype(np.float32)
    other = (rng.normal(0, 2, (80, 5)) @ rng.normal(0, 1, (5, 5)) + 1).astype(np.float32)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    covariances = [np.cov(features.T.astype(np.float64)) for features in (one, other)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    squares = np.square(one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)).sum()
    traces = sum(map(np.trace, covariances))
    assert frechet_distance(one, other) == pytest.approx((squares + traces - 2 * np.trace(root)) / traces, rel=1e-6)
    assert frechet_distance(100 * one, 100 * other) == pytest.approx(frechet_distance(one, other), rel=1e-5)
    shifted = one + float32([2, 0, 0, 0, 0])
    assert frechet_distance(one, shifted) == pytest.approx(4 / (2 * np.trace(covariances[0])), rel=1e-5)
    few = one[:3]  # fewer rows than values
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    constant = np.full((4, 5), 0.1, np.float32)
    assert frechet_distance(constant, 3 * constant) is None
    assert frechet_distance(constant, one) > 0


@pytest.mark.parametrize("align_corners", [False, True])
def test_values_at_places_are_those_of_the_enlarged_map(align_corners):
    rng = np.random.default_rng(5)
    map_chw, size = torch.from_numpy(rng.normal(size=(3, 4, 7)).astype(np.float32)), (32, 56)
    places = rng.random((PIXELS, 2), np.float32)
    full_chw = interpolate(map_chw[None], size, mode="bilinear", align_corners=align_corners)[0].numpy()
    rows, columns = pixels_at(places, size)
    assert values_at(map_chw, places, size, align_corners) == pytest.approx(full_chw[:, rows, columns].T, abs=1e-5)
    labels = rng.integers(0, 5, size).astype(np.uint8)
    assert (labels_at(labels, places) == labels[rows, columns]).all()
    assert {rows.min(), columns.min(), rows.max(), columns.max()} == {0, 31, 55}


def test_places_are_the_same_parts_of_images_of_any_size():
    places = float32([[0.0, 0.0], [0.5, 0.25], [0.999, 0.999], [1.0, 1.0]])
    for size in ((8, 16), (16, 32)):
        rows, columns = pixels_at(places, size)
        assert rows.tolist() == [0, size[0] // 2, size[0] - 1, size[0] - 1]
        assert columns.tolist() == [0, size[1] // 4, size[1] - 1, size[1] - 1]


def test_the_better_value_may_be_the_smaller_one_and_no_value_is_the_worst():
    models = {"a": {"atc": 0.5, "entropy": 0.5}, "b": {"atc": 0.6, "entropy": 0.7}, "c": {"atc": None, "entropy": 0.5}}
    assert rank(models, "atc") == ["b", "a", "c"]
    assert rank(models, "entropy") == ["a", "c", "b"]
    assert best_of_each(models) == {"atc": "b", "entropy": "a"}
    assert {name for name, score in SCORES.items() if not score.larger_is_better} == {"entropy", "shares", "features"}
