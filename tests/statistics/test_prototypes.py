"""Prototypes: means by class, weights by distance, labels rectified; the worked numbers of ProDA's equations."""

import h5py
import numpy as np
import pytest
import torch

from udaseg.errors import UdasegError
from udaseg.statistics import prototype_distances, prototypes


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


def test_stretches_of_one_label_are_summed_in_order():
    lengths = np.tile(np.arange(1, 12), 20)
    labels_N = np.random.default_rng(1).choice(np.array([0, 1, 2, 255], np.uint8), len(lengths)).repeat(lengths)
    rows_ND, _ = filled(count=len(labels_N))
    running = prototypes.Centroids(3, 17)
    running.add(rows_ND, labels_N)
    sums = np.zeros((256, 17))
    np.add.at(sums, labels_N, rows_ND)
    np.testing.assert_array_equal(running.sums, sums[:3])
    np.testing.assert_array_equal(running.counts, np.bincount(labels_N, minlength=256)[:3])


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
    distances = prototype_distances.distances(torch.zeros(1, 2, 1, 4), torch.from_numpy(eta))
    weights = weights_of(distances)
    assert (weights[:, 1] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 1, 4))
    logits = torch.randn(1, 3, 1, 4)
    assert prototype_distances.rectified(logits, distances).isfinite().all()
    none = prototype_distances.distances(torch.zeros(1, 2, 1, 4), torch.full((3, 2), torch.nan))
    assert torch.equal(prototype_distances.rectified(logits, none), logits)


def weights_of(distances: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Give ProDA's w: what is left of the scores of a network that knows nothing."""
    return prototype_distances.rectified(torch.zeros_like(distances), distances, temperature).softmax(1)


def test_worked_example():
    eta = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    distances = prototype_distances.distances(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), eta)
    assert distances.flatten().tolist() == [1, 3]
    assert weights_of(distances).flatten().tolist() == pytest.approx([0.8808, 0.1192], abs=1e-4)
    p = torch.tensor([0.4, 0.6]).view(1, 2, 1, 1)
    decided = prototype_distances.rectified(p.log(), distances).softmax(1).flatten()
    assert decided.tolist() == pytest.approx([0.3523 / 0.4238, 0.0715 / 0.4238], abs=2e-4)
    assert decided.argmax() == 0 != p.flatten().argmax()


def features(seed, *shape, centre=0.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + centre


def test_equals_the_definition_far_from_the_origin():
    features_NDhw, eta = features(1, 2, 32, 7, 11, centre=100), features(2, 6, 32, centre=100)
    expected = (features_NDhw[:, None].double() - eta[None, :, :, None, None].double()).norm(dim=2)
    found = prototype_distances.distances(features_NDhw, eta)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)
    half = prototype_distances.distances(features_NDhw.bfloat16(), eta)
    torch.testing.assert_close(half, prototype_distances.distances(features_NDhw.bfloat16().float(), eta))


def test_limits_of_the_temperature():
    features_NDhw, eta, logits = features(3, 1, 8, 20, 10), features(4, 4, 8), features(5, 1, 4, 20, 10)
    distances = prototype_distances.distances(features_NDhw, eta)
    assert torch.equal(prototype_distances.rectified(logits, distances, 1e-5).argmax(1), distances.argmin(1))
    assert torch.equal(prototype_distances.rectified(logits, distances, 1e9).argmax(1), logits.argmax(1))
    same = prototype_distances.distances(features_NDhw, eta[:1].expand(4, 8))
    assert torch.equal(prototype_distances.rectified(logits, same).argmax(1), logits.argmax(1))


def test_no_temperature_makes_a_class_without_a_prototype_more_than_a_number():
    centroids = torch.tensor([[0.0, 0.0], [3.0, 4.0], [float("nan")] * 2])
    away = prototype_distances.distances(torch.tensor([[1.0, 1.0]]).reshape(1, 2, 1, 1), centroids)
    for temperature in (1e-9, 1.0, 1e9):
        logits = prototype_distances.rectified(torch.zeros(1, 3, 1, 1), away, temperature)
        assert logits.isfinite().all()
        assert logits.softmax(1)[0, 2, 0, 0] == 0
        assert logits.abs().max() < 2e4 + 5 / temperature


def test_distant_features_do_not_underflow():
    distances = prototype_distances.distances(torch.full((1, 2, 1, 1), 1e6), torch.eye(2))
    assert weights_of(distances).flatten().tolist() == [0.5, 0.5]


def test_a_feature_on_its_prototype_has_a_gradient():
    features_NDhw = torch.ones(1, 2, 1, 1, requires_grad=True)
    prototype_distances.distances(features_NDhw, torch.ones(1, 2)).sum().backward()
    assert features_NDhw.grad.isfinite().all()


def example():
    centroids = np.array([[1, 2], [np.nan, np.nan], [3, 4]], np.float32)
    return prototypes.Prototypes(centroids, np.array([5, 0, 7]), ("road", "traffic light", "sky"), "layer4", "ab12")


def test_file_keeps_everything_in_the_same_bytes(tmp_path):
    prototypes.write(tmp_path / "a.h5", example())
    prototypes.write(tmp_path / "b.h5", example())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]
    back = prototypes.read(tmp_path / "a.h5")
    np.testing.assert_array_equal(back.centroids, example().centroids)
    np.testing.assert_array_equal(back.counts, [5, 0, 7])
    assert (back.classes, back.layer, back.model) == (("road", "traffic light", "sky"), "layer4", "ab12")


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
        prototype_distances.distances(torch.zeros(1, 5, 2, 2), torch.zeros(3, 4))
