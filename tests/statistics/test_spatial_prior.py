"""Spatial priors: counting, smoothing, norms, and the file."""

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from udaseg import config
from udaseg.errors import UdasegError
from udaseg.labels import class_space
from udaseg.statistics import spatial_prior
from udaseg.statistics.spatial_prior import PositionCounts, Prior

CLASSES = ("road", "car", "sky")


class Source:
    """Labelled images made of arrays."""

    space = class_space(list(CLASSES))

    def __init__(self, labels):
        self._labels = labels

    def __len__(self):
        return len(self._labels)

    def label(self, i):
        return self._labels[i]


def some_labels(count=6, size=(40, 70)):
    rng = np.random.default_rng(0)
    return [rng.choice(np.array([0, 1, 255], np.uint8), size) for _ in range(count)]


def counted(labels, size=(40, 70), stride=8):
    counts = PositionCounts(3, size, stride)
    for label in labels:
        counts.add(label)
    return counts


def test_counts_the_pixels_of_every_cell():
    labels = some_labels()
    counts = counted(labels)
    assert counts.counts_CHW.shape == (3, 5, 9)
    for c in range(3):
        own = sum((label == c).astype(int) for label in labels)
        expected = np.add.reduceat(np.add.reduceat(own, range(0, 40, 8), 0), range(0, 70, 8), 1)
        np.testing.assert_array_equal(counts.counts_CHW[c], expected)


def test_counts_of_halves_are_those_of_the_whole():
    labels = some_labels()
    whole, halves = counted(labels), counted(labels[:2]) + counted(labels[2:])
    np.testing.assert_array_equal(whole.counts_CHW, halves.counts_CHW)


def test_cells_that_the_edge_cuts_are_as_frequent_as_others():
    frequencies_CHW = counted([np.zeros((40, 70), np.uint8)] * 3).frequencies()
    np.testing.assert_array_equal(frequencies_CHW[0], np.full((5, 9), 3.0))
    assert not frequencies_CHW[1:].any()


def test_labels_of_another_size_are_brought_to_the_targets():
    label = some_labels(1)[0]
    small, large = counted([label]), counted([np.kron(label, np.ones((3, 3), np.uint8))])
    np.testing.assert_array_equal(small.counts_CHW, large.counts_CHW)


@pytest.mark.parametrize("reach", [2, 7, 20])
def test_smoothing_is_a_gaussian_with_reflected_borders(reach):
    maps_CHW = np.random.default_rng(0).random((2, 12, 30))
    sigma = (reach / 3, reach / 4)
    expected = [gaussian_filter(map_HW, sigma, mode="reflect", radius=reach) for map_HW in maps_CHW]
    smooth_CHW = spatial_prior.smooth(maps_CHW, (2 * reach, 2 * reach), sigma)
    np.testing.assert_allclose(smooth_CHW, expected, rtol=1e-12)
    np.testing.assert_allclose(smooth_CHW.sum((1, 2)), maps_CHW.sum((1, 2)))


def test_norms():
    maps_CHW = np.stack([np.arange(12.0).reshape(3, 4), np.ones((3, 4)), np.zeros((3, 4))])
    for norm, of in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        result_CHW = spatial_prior.normalise(maps_CHW, norm)
        assert result_CHW.dtype == np.float32
        assert [float(of(map_HW)) for map_HW in result_CHW] == pytest.approx([1, 1, 0])


def test_relative_maps_and_their_peaks_multiply_to_the_prior():
    maps_CHW = np.stack([np.full((2, 3), 0.5), [[0, 1, 2], [3, 4, 5]], np.zeros((2, 3))]).astype(np.float32)
    relative_CHW, peaks = Prior(maps_CHW, CLASSES).relative()
    assert peaks.tolist() == [0.5, 5, 0]
    assert relative_CHW.max((1, 2)).tolist() == [1, 1, 0]
    np.testing.assert_allclose(relative_CHW * peaks[:, None, None], maps_CHW)


def test_the_prior_of_a_source(tmp_path):
    label = np.full((64, 128), 2, np.uint8)
    label[32:] = 0
    label[60:, 120:] = 1
    seen = []
    settings = config.Prior(stride=4)
    made = spatial_prior.spatial_prior(Source([label] * 5), (64, 128), settings, progress=lambda *at: seen.append(at))
    assert seen[-1] == (5, 5)
    assert made.classes == CLASSES
    assert made.maps.shape == (3, 16, 32)
    np.testing.assert_allclose(made.maps.mean((1, 2)), 1, rtol=1e-5)
    assert made.maps[0, :6].max() == 0
    half = 64 * 128 / (32 * 128 - 4 * 8)  # it covers all but a corner of one half, and nothing else
    assert made.maps[0, 12, 5] == pytest.approx(half, rel=1e-5)
    assert np.unravel_index(made.maps[1].argmax(), (16, 32)) == (15, 31)
    again = spatial_prior.spatial_prior(Source([label] * 5), (64, 128), settings)
    spatial_prior.write(tmp_path / "a.h5", made)
    spatial_prior.write(tmp_path / "b.h5", again)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    read = spatial_prior.read(tmp_path / "a.h5", CLASSES)
    np.testing.assert_array_equal(read.maps, made.maps)
    with h5py.File(tmp_path / "a.h5") as file:
        assert (file["prior"].dtype, file["prior"].shape) == (np.float32, (3, 16, 32))
        assert [name.decode() for name in file.attrs["classes"]] == list(CLASSES)


def test_the_kernel_is_relative_to_the_picture():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 3, (32, 64)).astype(np.uint8)
    large = np.kron(small, np.ones((4, 4), np.uint8))
    one = spatial_prior.spatial_prior(Source([small]), (32, 64), config.Prior(stride=1, kernel=200))
    other = spatial_prior.spatial_prior(Source([large]), (128, 256), config.Prior(stride=4, kernel=200))
    np.testing.assert_allclose(one.maps, other.maps, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.__setitem__("classes", ["road", "car"]), "for the classes road, car"),
        (lambda file: file.attrs.__delitem__("classes"), "cannot read"),
        (lambda file: file.__delitem__("prior"), "cannot read"),
        (lambda file: file["prior"].__setitem__((0, 0, 0), np.nan), "finite"),
        (lambda file: file["prior"].__setitem__((0, 0, 0), -1), "nowhere negative"),
        (lambda file: file["prior"].__setitem__(..., 0), "all zeros"),
    ],
)
def test_refuses_what_is_no_prior_of_these_classes(tmp_path, change, message):
    path = tmp_path / "prior.h5"
    spatial_prior.write(path, Prior(np.ones((3, 2, 2), np.float32), CLASSES))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(UdasegError, match=message) as caught:
        spatial_prior.read(path, CLASSES)
    assert str(path) in caught.value.message
    assert "udaseg prior" in caught.value.hint


@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 4), (3, 0, 4)])
def test_refuses_other_shapes(tmp_path, shape):
    with h5py.File(tmp_path / "prior.h5", "w") as file:
        file["prior"], file.attrs["classes"] = np.ones(shape, np.float32), list(CLASSES)
    with pytest.raises(UdasegError, match="expected float32"):
        spatial_prior.read(tmp_path / "prior.h5", CLASSES)


def test_refuses_other_files(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    for name in ("text.h5", "absent.h5"):
        with pytest.raises(UdasegError, match=name):
            spatial_prior.read(tmp_path / name, CLASSES)
