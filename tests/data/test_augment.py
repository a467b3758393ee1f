import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udaseg.config import Augment
from udaseg.data.augment import Pair, augment, distort, fit, mark_margins, resize, resize_label, size_within


def coded(height, width):
    """An image whose red and green channels say where a pixel is, and a label that says the same."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    return Pair(image, (rows * 7 + columns).astype(np.uint8) % 250)


def agrees(pair):
    valid = pair.label != 255
    expected = (pair.image[..., 0].astype(int) * 7 + pair.image[..., 1]) % 256 % 250
    return np.array_equal(expected[valid], pair.label[valid])


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 30), st.integers(4, 30), st.integers(2, 40), st.integers(2, 40), st.integers(0, 1000))
def test_image_and_label_go_through_the_same_crop_and_flip(height, width, rows, columns, seed):
    pair = augment(coded(height, width), Augment(crop=(rows, columns)), np.random.default_rng(seed))
    assert pair.image.shape == (rows, columns, 3)
    assert pair.label.shape == (rows, columns)
    assert agrees(pair)


def test_padding_is_ignored_and_not_labelled():
    pair = augment(coded(4, 5), Augment(crop=(6, 8), flip=0.0), np.random.default_rng(0))
    assert (pair.label[4:] == 255).all()
    assert (pair.label[:, 5:] == 255).all()
    assert (pair.label[:4, :5] != 255).all()
    assert (pair.image[4:] == 0).all()


@pytest.mark.parametrize(
    ("shape", "own"),
    [
        ((3000, 4000), (760, 1013)),  # 1013.33
        ((4000, 3000), (760, 570)),
        ((760, 1280), (760, 1280)),
        ((100, 1000), (128, 1280)),
        ((1, 5000), (1, 1280)),
        ((49, 49 * 2), (640, 1280)),  # 49 * (1280 / 98) is 639.99... in floats
    ],
)
def test_the_largest_size_of_an_aspect_within_a_canvas(shape, own):
    assert size_within(shape, (760, 1280)) == own


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30))
def test_a_padded_image_is_whole_in_the_corner_and_nothing_elsewhere(height, width, rows, columns):
    pair = coded(height, width)
    own = size_within(pair.label.shape, (rows, columns))
    padded = fit(pair, (rows, columns), pad=True)
    assert padded.label.shape == padded.image.shape[:2] == (rows, columns)
    assert np.array_equal(padded.image[: own[0], : own[1]], resize(pair.image, own))
    assert np.array_equal(padded.label[: own[0], : own[1]], resize_label(pair.label, own))
    outside = np.ones((rows, columns), bool)
    outside[: own[0], : own[1]] = False
    assert (padded.label[outside] == 255).all()
    assert (padded.image[outside] == 0).all()
    if padded.valid is None:
        assert not outside.any()
    else:
        assert np.array_equal(padded.valid, ~outside)


def test_the_valid_mask_gets_the_same_geometry_as_the_image():
    padded = fit(coded(4, 12), (12, 12), pad=True)
    for seed in range(20):
        pair = augment(padded, Augment(crop=(9, 7), scale=(0.5, 1.5)), np.random.default_rng(seed))
        assert pair.valid is not None
        assert np.array_equal(pair.valid, pair.label != 255)


@pytest.mark.parametrize("padded", [(40, 60), (50, 90)])
@pytest.mark.parametrize(
    ("margins", "along", "inside"), [((0.1, 0.25, 0.0, 0.0), 0, (4, 30)), ((0.0, 0.0, 0.05, 0.2), 1, (3, 48))]
)
def test_margins_are_shares_of_the_image_and_go_with_it_through_scale_crop_and_flip(padded, margins, along, inside):
    place = np.mgrid[:40, :60][along].astype(np.uint8)  # the label of a pixel is its row, or its column
    valid = np.zeros(padded, bool)
    valid[:40, :60] = True
    image, label = (np.zeros((*padded, *more), np.uint8) for more in ((3,), ()))
    label[:40, :60] = place
    whole = Pair(image, np.where(valid, label, 255).astype(np.uint8), None if valid.all() else valid)
    shown = 0
    for seed in range(10):
        settings = Augment(crop=(33, 41), scale=(0.5, 1.5))
        pair = augment(mark_margins(whole, margins), settings, np.random.default_rng(seed))
        assert np.array_equal(pair.trusted, (pair.label >= inside[0]) & (pair.label < inside[1]))
        shown += pair.trusted.any()
    assert shown > 5


@pytest.mark.parametrize(("flip", "mirrored"), [(0.0, False), (1.0, True)])
def test_flip(flip, mirrored):
    pair = augment(coded(4, 6), Augment(flip=flip), np.random.default_rng(0))
    expected = coded(4, 6)
    assert np.array_equal(pair.image, expected.image[:, ::-1] if mirrored else expected.image)


def test_scale_is_uniform_in_its_range():
    heights = [
        augment(coded(20, 30), Augment(scale=(0.5, 1.5), flip=0.0), np.random.default_rng(seed)).label.shape[0]
        for seed in range(200)
    ]
    assert min(heights) >= 10
    assert max(heights) <= 30
    assert 18 < np.mean(heights) < 22


def test_resized_labels_have_only_original_ids():
    label = np.array([[0, 18], [255, 7]], np.uint8)
    assert set(np.unique(resize_label(label, (31, 17)))) == {0, 7, 18, 255}


def test_images_are_resized_bicubic_as_pillow_does():
    image = coded(16, 16).image
    assert resize(image, (16, 16)) is image
    assert resize(image, (8, 4)).shape == (8, 4, 3)
    assert np.abs(resize(image, (32, 32))[::2, ::2].astype(int) - image).max() <= 1


def test_a_switched_off_distortion_changes_nothing():
    image = coded(8, 8).image
    assert np.array_equal(distort(image, Augment(), np.random.default_rng(0)), image)


def test_distortion_keeps_grey_grey_and_the_type():
    grey = np.full((8, 8, 3), 100, np.uint8)
    out = distort(grey, Augment(jitter=0.5, blur=1.0), np.random.default_rng(3))
    assert out.dtype == np.uint8
    assert (np.ptp(out.reshape(-1, 3).astype(int), axis=1) <= 1).all()
    assert not np.array_equal(out, grey)


def test_switching_colours_off_leaves_the_geometry_as_it_was():
    plain, jittered = (
        augment(coded(9, 9), Augment(crop=(5, 5), jitter=jitter), np.random.default_rng(4)) for jitter in (0.0, 0.5)
    )
    assert np.array_equal(plain.label, jittered.label)
