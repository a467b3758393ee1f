"""Mixtures fitted to counts, against the pixels themselves and scikit-learn's EM on them."""

import numpy as np
import pytest

from udaseg.data.depth import inverse_depth
from udaseg.errors import UdasegError
from udaseg.statistics import depth_density, gmm_counts, gmm_fit

GRID = (48, 80)
MEANS = np.array([[20, 30, 57.0], [40, 37, 124.0], [60, 42, 208.0]])
DEVIATIONS = np.array([[8, 3, 20.0], [10, 4, 30.0], [7, 3, 35.0]])


def pixels(count, seed=0, means=MEANS, deviations=DEVIATIONS):
    """Draw (column, row, cm) of a mixture with weights .5, .3, .2."""
    rng = np.random.default_rng(seed)
    component = rng.choice(len(means), count, p=[0.5, 0.3, 0.2][: len(means)])
    drawn = rng.normal(means[component], deviations[component])
    columns = np.clip(np.rint(drawn[:, 0]), 0, GRID[1] - 1).astype(int)
    rows = np.clip(np.rint(drawn[:, 1]), 0, GRID[0] - 1).astype(int)
    return columns, rows, np.clip(65536 / np.maximum(drawn[:, 2], 1.5) - 1, 1, 65534).astype(np.uint16)


def images(columns, rows, cm, label=0):
    """Spread pixels over as many images as it takes for each to have its own place; the rest is ignored."""
    place = rows * GRID[1] + columns
    order = np.argsort(place, kind="stable")
    place, cm = place[order], cm[order]
    nth = np.arange(len(place)) - np.searchsorted(place, place)
    labels_NHW = np.full((nth.max() + 1, *GRID), 255, np.uint8)
    cm_NHW = np.ones((nth.max() + 1, *GRID), np.uint16)
    labels_NHW.reshape(len(labels_NHW), -1)[nth, place] = label
    cm_NHW.reshape(len(cm_NHW), -1)[nth, place] = cm
    return labels_NHW, cm_NHW


def counted(columns, rows, cm, classes=("road",), label=0, **settings):
    counts = gmm_counts.GmmCounts(classes, GRID, **settings)
    for labels_HW, cm_HW in zip(*images(columns, rows, cm, label), strict=True):
        counts.add(labels_HW, cm_HW)
    return counts


def points(columns, rows, cm):
    return np.stack([columns, rows, inverse_depth(cm)], axis=1).astype(np.float64)


def log_likelihood(fitted, c, points_N3):
    kept = fitted.weights[c] > 0
    means, variances = fitted.means[c, kept], fitted.variances[c, kept]
    logs = -0.5 * ((points_N3[:, None] - means) ** 2 / variances + np.log(2 * np.pi * variances)).sum(axis=2)
    logs += np.log(fitted.weights[c, kept])
    return np.logaddexp.reduce(logs, axis=1).mean()


@pytest.fixture(scope="module")
def sample():
    return pixels(60_000)


@pytest.fixture(scope="module")
def fitted(sample):
    return gmm_fit.fit(counted(*sample), 3)


def test_counts_are_the_pixels(sample):
    counts = counted(*sample)
    columns, rows, cm = sample
    expected = np.zeros_like(counts.counts_CHWB)
    np.add.at(expected[0], (rows, columns, counts.bin[cm]), 1)
    np.testing.assert_array_equal(counts.counts_CHWB, expected)
    np.testing.assert_array_equal(counts.raw[0], np.bincount(cm, minlength=65536))


def test_recovers_the_components(fitted):
    np.testing.assert_allclose(fitted.weights[0], [0.5, 0.3, 0.2], atol=0.01)
    np.testing.assert_allclose(fitted.means[0], MEANS, atol=0.7)
    np.testing.assert_allclose(np.sqrt(fitted.variances[0]), DEVIATIONS, rtol=0.05)


def test_as_likely_as_scikit_learn_from_the_same_start(sample, fitted):
    reference = pytest.importorskip("sklearn.mixture").GaussianMixture
    data = points(*sample)
    start = {"weights_init": fitted.weights[0], "means_init": fitted.means[0] + 1.5}
    peer = reference(
        3, covariance_type="diag", tol=1e-7, max_iter=500, precisions_init=1 / fitted.variances[0], **start
    ).fit(data)
    assert abs(log_likelihood(fitted, 0, data) - peer.score(data)) < 1e-4
    np.testing.assert_allclose(fitted.means[0], peer.means_, atol=0.3)


def test_finds_an_optimum_as_good_as_scikit_learn(sample):
    reference = pytest.importorskip("sklearn.mixture").GaussianMixture
    data = points(*sample)
    peer = reference(5, covariance_type="diag", random_state=0).fit(data)
    assert log_likelihood(gmm_fit.fit(counted(*sample), 5), 0, data) > peer.score(data) - 1e-3


def test_every_step_raises_the_likelihood(sample):
    counts = counted(*sample)
    axes = gmm_fit.bin_moments(counts, 0)
    state = np.full(2, 0.5), np.array([[10.0, 20, 40], [50, 40, 300]]), np.full((2, 3), 500.0)
    last = -np.inf
    for _ in range(12):
        *state, likelihood = gmm_fit.maximise(counts.counts_CHWB[0], axes, *state, 0.25, 1, 0.0)
        assert likelihood >= last
        last = likelihood


def test_a_step_equals_its_definition_even_where_densities_underflow(sample):
    columns, rows, cm = (part[:3000].copy() for part in sample)
    cm[:7] = 1  # a thousand deviations from either component
    counts = counted(columns, rows, cm)
    axes = gmm_fit.bin_moments(counts, 0)
    weights, means, floor = np.array([0.3, 0.7]), np.array([[10.0, 20, 40], [50, 40, 300]]), 0.25
    variances = np.array([[500.0, 90, 30], [200, 300, 0.25]])
    new_weights, new_means, new_variances, likelihood = gmm_fit.maximise(
        counts.counts_CHWB[0], axes, weights, means, variances, floor, 1, 0.0
    )
    value = np.stack([columns, rows, axes[2][0][counts.bin[cm]]], axis=1)[:, None]
    spread = np.stack([0 * cm, 0 * cm, axes[2][1][counts.bin[cm]]], axis=1)[:, None]
    logs = np.log(weights) - 0.5 * ((value - means) ** 2 / variances + np.log(2 * np.pi * variances)).sum(axis=2)
    total = np.logaddexp.reduce(logs, axis=1, keepdims=True)
    share = np.exp(logs - total)[..., None]
    expected = (share * value).sum(axis=0) / share.sum(axis=0)
    np.testing.assert_allclose(likelihood, total.mean(), rtol=1e-12)
    np.testing.assert_allclose(new_weights, share.mean(axis=0)[:, 0], rtol=1e-12)
    np.testing.assert_allclose(new_means, expected, rtol=1e-10)
    expected = (share * ((value - expected) ** 2 + spread)).sum(axis=0) / share.sum(axis=0)
    np.testing.assert_allclose(new_variances, np.maximum(expected, floor), rtol=1e-9)


def test_one_component_is_mean_and_variance(sample):
    fitted = gmm_fit.fit(counted(*sample), 1)
    data = points(*sample)
    np.testing.assert_allclose(fitted.means[0, 0], data.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(fitted.variances[0, 0], data.var(axis=0), rtol=1e-9)


def test_density_integrates_to_one(fitted):
    steps = np.arange(0.5, 400, 2.0, dtype=np.float32)
    total = sum(
        2.0 * depth_density.density(fitted, np.full(GRID, step, np.float32)).sum(dtype=np.float64) for step in steps
    )
    assert total == pytest.approx(1, abs=0.02)  # a little of it lies beyond the image


def test_order_and_parts_do_not_matter(sample, fitted):
    columns, rows, cm = sample
    left, right = counted(columns[:20_000], rows[:20_000], cm[:20_000]), counted(*(part[20_000:] for part in sample))
    right.merge(left)
    again = gmm_fit.fit(right, 3)
    for name in ("weights", "means", "variances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))


def test_absent_class_is_an_absent_mixture(sample):
    both = gmm_fit.fit(counted(*sample, classes=("wall", "road"), label=1), 3)
    assert not both.weights[0].any()
    assert (both.variances[0] == 1).all()
    assert not depth_density.density(both, np.full(GRID, 57, np.float32))[0].any()
    assert both.weights[1].sum() == pytest.approx(1)


def test_class_of_few_places_gets_few_components():
    columns, rows, cm = np.array([3, 70, 3]), np.array([4, 40, 4]), np.array([600, 5000, 600], np.uint16)
    few = gmm_fit.fit(counted(columns, rows, cm), 5)
    assert (few.weights[0] > 0).sum() == 2
    np.testing.assert_allclose(few.weights[0, :2], [2 / 3, 1 / 3])
    np.testing.assert_allclose(few.means[0, :2, :2], [[3, 4], [70, 40]])
    np.testing.assert_allclose(few.means[0, :2, 2], inverse_depth(cm[:2]))
    np.testing.assert_array_equal(few.variances[0, :2], gmm_fit.FLOOR)


def test_no_depth_is_no_measurement():
    columns, rows = np.arange(60), np.arange(60) % 40
    cm = np.full(60, 600, np.uint16)
    cm[:10], cm[10:30] = 0, 65535
    for name, expected in (("road", 30), ("sky", 50)):
        assert counted(columns, rows, cm, classes=(name,)).raw.sum() == expected
        assert counted(columns, rows, cm, classes=(name,), compat=True).raw.sum() == 60


def test_compat_keeps_the_artefact():
    columns, rows, cm = pixels(20_000)
    cm[::50] = 0
    published = gmm_fit.fit(counted(columns, rows, cm, compat=True), 4)
    artefact = np.argmax(published.means[0, :, 2])
    assert published.means[0, artefact, 2] == pytest.approx(65536)
    assert published.variances[0, artefact, 2] == pytest.approx(gmm_fit.FLOOR_COMPAT)
    assert published.weights[0, artefact] == pytest.approx(0.02, rel=1e-6)
    assert gmm_fit.fit(counted(columns, rows, cm), 4).means[0, :, 2].max() < 400


def test_progress_and_seed(sample):
    counts, calls = counted(*sample, classes=("wall", "road"), label=1), []
    first = gmm_fit.fit(counts, 4, seed=3, progress=lambda done, total: calls.append((done, total)))
    second = gmm_fit.fit(counts, 4, seed=3)
    assert calls == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(first.means, second.means)


def test_sizes_that_do_not_match():
    counts = gmm_counts.GmmCounts(("road",), GRID)
    with pytest.raises(UdasegError, match="depth of"):
        counts.add(np.zeros(GRID, np.uint8), np.zeros((4, 4), np.uint16))
