"""Prototypes: means by class, weights by distance, labels rectified; the worked numbers of ProDA's equations."""

import h5py
import numpy as np
import pytest
import torch

from udaseg import prototypes
from udaseg.errors import UdasegError


def centroids_of(rows_ND, labels_N, classes):
    return np.array([rows_ND[labels_N == c].astype(np.float64).mean(axis=0) for c in range(classes)], np.float32)


def filled(seed=0, classes=5, count=3000, dimension=17):
    rng = np.random.default_rng(seed)
    rows_ND = rng.standard_normal((count, dimension)).astype(np.float32) + 3
    labels_N = rng.integers(0, classes, count, dtype=np.uint8)
    labels_N[::7] = 255
    return rows_ND, labels_N


def test_means_by_class_leave_ignored_pixels_out():
    rows_ND, labels_N = filled()
    running = prototypes.Centroids(5, 17)
    running.add(rows_ND.reshape(30, 100, 17), labels_N.reshape(30, 100))
    np.testing.assert_allclose(running.centroids(), centroids_of(rows_ND, labels_N, 5), rtol=2e-6)
    np.testing.assert_array_equal(running.counts, np.bincount(labels_N, minlength=256)[:5])


def test_parts_merge_to_the_whole():
    rows_ND, labels_N = filled()
    whole, left, right = (prototypes.Centroids(5, 17) for _ in range(3))
    whole.add(rows_ND, labels_N)
    left.add(rows_ND[:1000], labels_N[:1000])
    right.add(rows_ND[1000:], labels_N[1000:])
    left.merge(right)
    np.testing.assert_array_equal(left.counts, whole.counts)
    np.testing.assert_allclose(left.centroids(), whole.centroids(), rtol=1e-7)


def test_many_large_features_keep_their_digits():
    rows_ND = np.full((200_000, 2), 1000.125, np.float32)
    running = prototypes.Centroids(1, 2)
    running.add(rows_ND, np.zeros(200_000, np.uint8))
    np.testing.assert_array_equal(running.centroids(), rows_ND[:1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_tensors_are_as_good_as_arrays(memory, dtype):
    features_NCHW = torch.randn(2, 8, 6, 5, requires_grad=True).to(dtype).to(memory_format=memory)
    features_NHWC = features_NCHW.permute(0, 2, 3, 1)
    labels_NHW = np.random.default_rng(0).integers(0, 3, (2, 6, 5), dtype=np.uint8)
    of_tensor, of_array = prototypes.Centroids(3, 8), prototypes.Centroids(3, 8)
    of_tensor.add(features_NHWC, labels_NHW)
    of_array.add(features_NHWC.detach().float().numpy().copy(), labels_NHW)
    np.testing.assert_array_equal(of_tensor.centroids(), of_array.centroids())


def test_class_never_seen_has_no_prototype_and_no_weight():
    running = prototypes.Centroids(3, 2)
    running.add(np.array([[5, 5], [9, 9]], np.float32), np.array([0, 2], np.uint8))
    eta = running.centroids()
    assert np.isnan(eta[1]).all()
    weights = prototypes.distance_softmax(np.zeros((4, 2), np.float32), eta, running.counts)
    np.testing.assert_array_equal(weights[:, 1], 0)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    nothing = prototypes.distance_softmax(
        np.zeros((4, 2), np.float32), np.full((3, 2), np.nan, np.float32), np.zeros(3)
    )
    np.testing.assert_array_equal(nothing, 0)


def test_worked_example():
    eta, counts = np.array([[0, 0], [4, 0]], np.float32), np.array([1, 1])
    weights = prototypes.distance_softmax(np.array([[1, 0]], np.float32), eta, counts)
    np.testing.assert_allclose(weights, [[0.8808, 0.1192]], atol=1e-4)
    probabilities = np.array([[0.4, 0.6]], np.float32)
    np.testing.assert_allclose(weights * probabilities, [[0.3523, 0.0715]], atol=1e-4)
    assert prototypes.rectify(probabilities, weights).tolist() == [0]


def test_equals_the_definition_far_from_the_origin():
    rng = np.random.default_rng(1)
    features = (rng.standard_normal((7, 11, 32)) + 100).astype(np.float32)
    eta = (rng.standard_normal((6, 32)) + 100).astype(np.float32)
    distance = np.linalg.norm(features[..., None, :].astype(np.float64) - eta, axis=-1)
    expected = np.exp(-distance / 0.7)
    expected /= expected.sum(axis=-1, keepdims=True)
    weights = prototypes.distance_softmax(features, eta, np.ones(6, int), 0.7)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-7)


def test_more_features_than_a_block():
    rng = np.random.default_rng(2)
    features, eta = rng.standard_normal((1300, 4)).astype(np.float32), rng.standard_normal((3, 4)).astype(np.float32)
    weights = prototypes.distance_softmax(features, eta, np.ones(3, int))
    alone = [prototypes.distance_softmax(row[None], eta, np.ones(3, int))[0] for row in features]
    np.testing.assert_allclose(weights, alone, rtol=1e-5)


def test_limits_of_the_temperature():
    rng = np.random.default_rng(3)
    features, eta = rng.standard_normal((200, 8)).astype(np.float32), rng.standard_normal((4, 8)).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(4), 200).astype(np.float32)
    counts = np.ones(4, int)
    nearest = np.linalg.norm(features[:, None] - eta, axis=2).argmin(axis=1)
    cold = prototypes.rectify(probabilities, prototypes.distance_softmax(features, eta, counts, 1e-4))
    np.testing.assert_array_equal(cold, nearest)
    hot = prototypes.rectify(probabilities, prototypes.distance_softmax(features, eta, counts, 1e9))
    np.testing.assert_array_equal(hot, probabilities.argmax(axis=1))
    same = prototypes.distance_softmax(features, np.repeat(eta[:1], 4, axis=0), counts)
    np.testing.assert_allclose(same, 0.25, rtol=1e-6)


def test_distant_features_do_not_underflow():
    weights = prototypes.distance_softmax(np.full((1, 2), 1e6, np.float32), np.eye(2, dtype=np.float32), np.ones(2))
    np.testing.assert_allclose(weights, 0.5)


def test_where_the_product_underflows_the_probabilities_decide():
    probabilities = np.array([[[0.3, 0.7, 0.0], [0.2, 0.1, 0.7]]], np.float32)
    weights = np.array([[[0, 0, 1], [0.9, 0.1, 0]]], np.float32)
    labels = prototypes.rectify(probabilities, weights)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[1, 0]]


def example():
    centroids = np.array([[1, 2], [np.nan, np.nan], [3, 4]], np.float32)
    return prototypes.Prototypes(centroids, np.array([5, 0, 7]), ("road", "traffic light", "sky"), "layer4")


def test_file_keeps_everything_in_the_same_bytes(tmp_path):
    prototypes.write(tmp_path / "a.h5", example())
    prototypes.write(tmp_path / "b.h5", example())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]
    back = prototypes.read(tmp_path / "a.h5")
    np.testing.assert_array_equal(back.centroids, example().centroids)
    np.testing.assert_array_equal(back.counts, [5, 0, 7])
    assert (back.classes, back.layer) == (("road", "traffic light", "sky"), "layer4")


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "prototypes.h5"
    with pytest.raises(UdasegError, match=r"prototypes\.h5"):
        prototypes.read(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(UdasegError, match="cannot read"):
        prototypes.read(path)
    prototypes.write(path, example())
    with h5py.File(path, "r+") as file:
        file.attrs["classes"] = ["road", "sky"]
    with pytest.raises(UdasegError, match="2 classes"):
        prototypes.read(path)
    prototypes.write(path, example())
    with h5py.File(path, "r+") as file:
        file["centroids"][0] = np.nan
    with pytest.raises(UdasegError, match="not finite"):
        prototypes.read(path)
    with h5py.File(path, "r+") as file:
        del file["counts"]
    with pytest.raises(UdasegError, match="cannot read"):
        prototypes.read(path)


def test_sizes_that_do_not_match():
    running = prototypes.Centroids(3, 4)
    with pytest.raises(UdasegError, match="20 features of 4 values for 19 labels"):
        running.add(np.zeros((4, 5, 4), np.float32), np.zeros(19, np.uint8))
    with pytest.raises(UdasegError, match="features of 5 values, prototypes of 4"):
        prototypes.distance_softmax(np.zeros((2, 5), np.float32), np.zeros((3, 4), np.float32), np.ones(3))
    with pytest.raises(UdasegError, match="temperature"):
        prototypes.distance_softmax(np.zeros((2, 4), np.float32), np.zeros((3, 4), np.float32), np.ones(3), 0.0)
