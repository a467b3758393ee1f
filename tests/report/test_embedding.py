"""Maps of features: the axes of an SVD, neighbours that stay neighbours, the same bytes always; measures by hand."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from udaseg.report.embedding import measure, neighbour_embedding, principal_components

NONE = np.nan


def clusters(classes=4, each=15, dimension=12, seed=0):
    """Return features of distinct classes in two domains, with their domain, class and prototypes."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.repeat(np.arange(classes), each), 2)
    is_target = np.repeat([False, True], classes * each)
    features_ND = 8 * rng.normal(size=(classes, dimension))[label] + rng.normal(size=(len(label), dimension))
    features_ND = (features_ND + is_target[:, None]).astype(np.float32)
    means = [[features_ND[(label == c) & (is_target == d)].mean(0) for c in range(classes)] for d in (False, True)]
    return features_ND, is_target, label, np.array(means)


def test_principal_components_are_those_of_a_singular_value_decomposition():
    features_ND, *_, prototypes_2CD = clusters()
    mapped, variance = principal_components(features_ND, prototypes_2CD)
    centred = features_ND.astype(np.float64) - features_ND.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    np.testing.assert_allclose(np.abs(mapped.points), np.abs(expected), atol=1e-3)
    assert variance == pytest.approx((values[:2] ** 2).sum() / (values**2).sum(), rel=1e-4)


def test_a_prototype_lies_in_the_middle_of_its_class_and_an_absent_one_nowhere():
    features_ND, is_target, label, prototypes_2CD = clusters()
    prototypes_2CD[1, 3] = NONE
    mapped, _ = principal_components(features_ND, prototypes_2CD)
    own = mapped.points[(label == 2) & is_target]
    np.testing.assert_allclose(mapped.prototypes[1, 2], own.mean(axis=0), atol=1e-3)
    assert np.isnan(mapped.prototypes[1, 3]).all()
    embedded = neighbour_embedding(features_ND, prototypes_2CD)
    assert np.isnan(embedded.prototypes[1, 3]).all()
    assert np.isfinite(embedded.prototypes[0]).all()


def test_neighbours_stay_neighbours():
    features_ND, _, label, prototypes_2CD = clusters()
    mapped = neighbour_embedding(features_ND, prototypes_2CD)
    distances = np.linalg.norm(mapped.points[:, None] - mapped.points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (label[distances.argmin(axis=1)] == label).mean() > 0.95
    to_prototypes = np.linalg.norm(mapped.points[:, None] - mapped.prototypes[0][None], axis=2)
    assert (to_prototypes.argmin(axis=1) == label).mean() > 0.95


def test_a_map_is_the_same_however_many_threads_there_are():
    features_ND, *_, prototypes_2CD = clusters()
    maps = []
    for threads in (1, 3):
        with threadpool_limits(threads):
            maps.append(neighbour_embedding(features_ND, prototypes_2CD).points)
    np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_pixels_have_a_map_too(count):
    features_ND = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)
    prototypes_2CD = np.full((2, 2, 5), NONE)
    prototypes_2CD[0, 0] = features_ND[0]
    for mapped in (
        principal_components(features_ND, prototypes_2CD)[0],
        neighbour_embedding(features_ND, prototypes_2CD),
    ):
        assert mapped.points.shape == (count, 2)
        assert np.isfinite(mapped.points).all()
        assert np.isfinite(mapped.prototypes[0, 0]).all()


def test_features_that_are_all_equal_lie_in_one_place():
    mapped = neighbour_embedding(np.ones((40, 6), np.float32), np.ones((2, 2, 6)))
    assert not mapped.points.any()
    assert principal_components(np.ones((40, 6), np.float32), np.ones((2, 2, 6)))[1] == 1.0


def test_measures_are_those_worked_by_hand():
    # In the source the classes lie at 0 and 10, in the target at 1 and 12: gaps of 1 and 2, distances of 10 and 11.
    features_ND = np.array([[0.0], [0.0], [10.0], [10.0], [1.0], [4.0], [12.0], [12.0]], np.float32)
    is_target, label = np.repeat([False, True], 4), np.array([0, 0, 1, 1, 0, 1, 1, 1])
    measures = measure(features_ND, is_target, label, np.array([[[0.0], [10.0]], [[1.0], [12.0]]]))
    assert measures.distance == pytest.approx(1.5 / 10.5)
    assert measures.silhouette[0] == 1.0
    assert measures.nearest == 0.75  # 4 is nearer to 0, and of the class at 10


def test_what_cannot_be_measured_is_none():
    measures = measure(np.ones((2, 3), np.float32), np.array([False, True]), np.array([0, 1]), np.full((2, 2, 3), NONE))
    assert (measures.silhouette, measures.distance, measures.nearest) == ((None, None), None, None)
