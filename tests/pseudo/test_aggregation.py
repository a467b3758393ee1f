"""Spatial aggregation against scipy's components of each class, and the published tables of sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from udaseg.errors import UdasegError
from udaseg.pseudo.aggregation import aggregate, size_thresholds


def by_class(label, minimum):
    """Do the same class by class: components with a full neighbourhood, their sizes, a table."""
    out = label.copy()
    for c, least in enumerate(minimum):
        components, _ = ndimage.label(label == c, np.ones((3, 3)))
        sizes = np.bincount(components.ravel())
        out[(components > 0) & (sizes[components] < least)] = 255
    return out


maps = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=24),
    elements=st.sampled_from([0, 0, 0, 1, 1, 2, 255]),
)
minima = st.lists(st.integers(0, 12), min_size=3, max_size=3).map(np.array)


@settings(max_examples=300, deadline=None)
@given(maps, minima)
def test_is_component_labelling_class_by_class(label, minimum):
    before = label.copy()
    np.testing.assert_array_equal(aggregate(label, minimum), by_class(label, minimum))
    np.testing.assert_array_equal(label, before)


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (37, 211), (64, 128), (1, 1), (2, 8), (9, 7)])
@pytest.mark.parametrize("smooth", [0, 2])
def test_on_larger_maps_of_every_shape(size, smooth):
    rng = np.random.default_rng(size[1] + smooth)
    scores = rng.normal(size=(5, *size))
    label = np.stack([ndimage.gaussian_filter(s, smooth) if smooth else s for s in scores]).argmax(0).astype(np.uint8)
    label[rng.random(size) < 0.05] = 255
    minimum = np.array([0, 3, 10, 30, 100])
    np.testing.assert_array_equal(aggregate(label, minimum), by_class(label, minimum))


def test_long_winding_component_is_one():
    label = np.full((41, 81), 255, np.uint8)
    label[::2] = 0
    label[1::4, -1] = 0
    label[3::4, 0] = 0
    pixels = int((label == 0).sum())
    assert (aggregate(label, np.array([pixels])) == label).all()
    assert (aggregate(label, np.array([pixels + 1])) == 255).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_diagonal_is_connected(mirrored):
    label = np.full((12, 12), 255, np.uint8)
    np.fill_diagonal(label, 3)
    label = label[:, ::-1].copy() if mirrored else label
    assert (aggregate(label, np.full(4, 12)) == label).all()
    assert (aggregate(label, np.full(4, 13)) == 255).all()


def test_regions_that_meet_only_through_unlabelled_pixels_are_separate():
    label = np.array([[0, 0, 255, 0, 0]], np.uint8)
    assert aggregate(label, np.array([3])).tolist() == [[255] * 5]


@settings(max_examples=100, deadline=None)
@given(maps, minima)
def test_properties(label, minimum):
    once = aggregate(label, minimum)
    np.testing.assert_array_equal(aggregate(once, minimum), once)
    stricter = aggregate(label, minimum + 1)
    assert ((stricter == 255) | (stricter == once)).all()
    for turn in (np.flipud, np.fliplr, np.transpose):
        np.testing.assert_array_equal(aggregate(turn(label), minimum), turn(once))
    names = np.r_[[2, 0, 1], np.arange(3, 256)].astype(np.uint8)
    np.testing.assert_array_equal(aggregate(names[label], minimum[[1, 2, 0]]), names[once])
    np.testing.assert_array_equal(aggregate(label, np.ones(3, int)), label)


def test_a_row_of_any_length():
    label = np.zeros((2, 2**16 + 9), np.uint8)
    label[1, -3:] = 1
    assert (aggregate(label, np.array([2**17, 3])) == label).all()
    assert (aggregate(label, np.array([2**17 + 16, 4])) == 255).all()


def test_refuses_what_does_not_fit():
    label = np.zeros((4, 4), np.uint8)
    with pytest.raises(UdasegError, match="classes above 1"):
        aggregate(label + np.uint8(2), np.array([1, 1]))
    with pytest.raises(UdasegError, match="int64"):
        aggregate(label.astype(np.int64), np.array([1]))
    with pytest.raises(UdasegError, match="expected integers"):
        aggregate(label, np.array([1.5]))
    with pytest.raises(UdasegError, match="from 0"):
        aggregate(label, np.array([-1]))


# Shares of the source pixels and the sizes that were published with them; the shares are rounded to five digits.
SYNTHIA16 = [0.19113, 0.19968, 0.30340, 0.00279, 0.00277, 0.01076, 0.00040, 0.00105]
SYNTHIA16 += [0.10666, 0.07086, 0.04392, 0.00486, 0.04200, 0.01580, 0.00214, 0.00227]
SIZES16 = [3165, 3311, 5000, 89, 89, 219, 50, 61, 1788, 1202, 762, 123, 730, 302, 78, 81]
SIZES7 = {
    (100, 900): [1000, 772, 100, 316, 234, 173, 173],
    (50, 50): [100, 87, 50, 62, 57, 54, 54],
    (10, 90): [100, 77, 10, 32, 23, 17, 17],
}


def test_published_sizes_of_16_classes():
    sizes = size_thresholds(SYNTHIA16, 50, 4950)
    assert sizes.dtype == np.int64
    assert np.abs(sizes - SIZES16).max() <= 5
    assert (sizes.max(), sizes.min()) == (5000, 50)


@pytest.mark.parametrize(("base0", "base1"), SIZES7)
def test_published_sizes_of_7_classes(base0, base1):
    share = (np.array([1000, 773.0, 100, 316.5, 234.5, 172.7, 173.5]) - 100) / 900
    assert np.abs(size_thresholds(share, base0, base1) - SIZES7[base0, base1]).max() <= 1


def test_sizes_do_not_depend_on_the_unit_of_the_counts_and_grow_with_the_area():
    counts = np.array([10, 200, 3000])
    np.testing.assert_array_equal(size_thresholds(counts, 50, 4950), size_thresholds(counts / 3210, 50, 4950))
    np.testing.assert_array_equal(size_thresholds(counts, 50, 4950, area_scale=0.5), [25, 182, 2500])


@pytest.mark.parametrize("counts", [[7], [4, 4, 4], [0, 0]])
def test_equal_counts_give_the_base(counts):
    assert (size_thresholds(counts, 50, 4950) == 50).all()


def test_a_class_that_the_source_lacks_gets_the_smallest_size():
    assert size_thresholds([0, 5, 10], 50, 100).tolist() == [50, 100, 150]


@pytest.mark.parametrize("arguments", [([-1, 2], 50, 100), ([1, 2], -50, 100), ([1, 2], 50, 100, 0), ([], 50, 100)])
def test_refuses_sizes_without_sense(arguments):
    with pytest.raises(UdasegError):
        size_thresholds(*arguments)
