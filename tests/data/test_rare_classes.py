"""Rare class sampling: how often each class is drawn, what its images and crops show, and what is warned of."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from udaseg.config import Augment, Rare
from udaseg.data.augment import Pair
from udaseg.data.batches import Batches, Stream, batches
from udaseg.data.rare_classes import RareClasses, class_probabilities, describe, sampling_warnings
from udaseg.data.samples import Samples
from udaseg.errors import UdasegError

NAMES = ("road", "car", "rider", "train")


def rare(counts, **settings):
    return RareClasses(np.array(counts), Rare(**{"pixels": 0, **settings}))


@pytest.mark.parametrize(
    ("counts", "temperature", "expected"),
    [
        ((500, 300, 150, 50), 0.01, (0, 0, 0.000045, 0.999955)),
        ((500, 300, 150, 50), 0.05, (0.000108, 0.005899, 0.118487, 0.875506)),
        ((500, 300, 150, 50), 0.1, (0.007603, 0.056181, 0.251787, 0.684428)),
        ((900, 90, 9, 1), 0.01, (0, 0.000094, 0.309996, 0.68991)),
        ((900, 90, 9, 1), 0.1, (0.000053, 0.175953, 0.395526, 0.428468)),
        ((500, 0, 500), 1e-308, (0.5, 0, 0.5)),
        ((500, 300), 1e-308, (0, 1)),
    ],
)
def test_the_probability_of_a_class_is_that_of_daformer(counts, temperature, expected):
    found = rare([counts], temperature=temperature).probabilities
    np.testing.assert_allclose(found, expected, atol=5e-7)


def test_a_class_without_an_image_that_shows_enough_leaves_its_probability_to_the_others():
    shares, drawn = np.array([0.5, 0.3, 0.15, 0.05]), np.array([True, True, True, False])
    found = class_probabilities(shares, drawn, 0.1)
    expected = np.array([0.007603, 0.056181, 0.251787, 0]) / (1 - 0.684428)
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_classes_and_images_are_drawn_as_often_as_their_probability_says():
    counts = np.zeros((30, 4), int)
    counts[:10, 0], counts[5:25, 1], counts[20:, 2], counts[29, 3] = 900, 150, 50, 20
    sampler, rng, number = rare(counts, temperature=0.2), np.random.default_rng(0), 10_000
    drawn = [sampler.draw(rng) for _ in range(number)]
    assert all(counts[image, c] > 0 for image, c in drawn)
    for c, p in enumerate(sampler.probabilities):
        images = np.array([image for image, of in drawn if of == c])
        assert abs(len(images) - number * p) < 3 * np.sqrt(number * p * (1 - p))
        frequency = np.bincount(images, minlength=30)[counts[:, c] > 0] / len(images)
        expected = 1 / len(frequency)
        assert np.abs(frequency - expected).max() < 4 * np.sqrt(expected / len(images))


# --- crops


class Counting:
    """Random numbers; remembers how many crops there were."""

    def __init__(self):
        self.rng, self.count = np.random.default_rng(0), 0

    def random(self, size):
        self.count += 1
        return self.rng.random(size)


def scene():
    """A label, half of class 0 and half of class 1, with a small block of class 2."""
    label = np.zeros((40, 80), np.uint8)
    label[:, 40:] = 1
    label[20:26, 60:70] = 2
    label[:, :4] = 255
    return label


COUNTS = [np.bincount(scene().ravel(), minlength=256)[:4]]


def crops(c, number=200, label=None, **settings):
    """Give for some crops the pixels of each class and how many crops were tried."""
    label = scene() if label is None else label
    sampler, found = rare(COUNTS, **settings), []
    rng = Counting()
    for _ in range(number):
        before = rng.count
        top, left = sampler.corner(label, (16, 16), 0, c, rng)
        shown = label[top : top + 16, left : left + 16]
        assert shown.shape == (16, 16)
        found.append((np.bincount(shown.ravel(), minlength=256)[:4], rng.count - before))
    return found


def test_a_crop_shows_enough_of_the_class_or_all_tries_were_made():
    found = crops(2, pixels=40, crop_share=0.5, max_share=0.9)
    good = [shown[2] > 20 and shown.max() < 0.9 * shown.sum() for shown, _ in found]
    assert all(is_good or tries == 10 for is_good, (_, tries) in zip(good, found, strict=True))
    assert 0.3 < np.mean(good) < 0.95
    once = crops(2, pixels=40, crop_share=0.5, max_share=0.9, tries=1)
    assert {tries for _, tries in once} == {1}
    assert sum(shown[2] > 20 for shown, _ in once) < sum(good) / 2
    many = crops(2, pixels=40, crop_share=0.5, max_share=0.9, tries=300)
    assert all(shown[2] > 20 and shown.max() < 0.9 * shown.sum() for shown, _ in many)


def test_a_crop_of_one_class_alone_is_never_enough():
    found = crops(0, pixels=0, max_share=1.0, tries=100)
    assert all((shown > 0).sum() >= 2 for shown, _ in found)
    assert all(tries == 5 for _, tries in crops(0, number=5, label=np.zeros((40, 80), np.uint8), tries=5))


def test_what_a_crop_must_show_is_scaled_to_the_size_of_the_label():
    half = scene()[::2, ::2]
    sampler = rare(COUNTS, pixels=50, crop_share=0.5, max_share=1.0, tries=1000)
    rng, least = np.random.default_rng(0), 1000
    for _ in range(300):
        top, left = sampler.corner(half, (8, 8), 0, 2, rng)
        least = min(least, (half[top : top + 8, left : left + 8] == 2).sum())
    assert least == 8  # of 3 x 5 pixels a crop can show 6, 8 or 9, and 25 / 4 = 6.25 are needed


# --- in a stream


def read(i):
    rng = np.random.default_rng(i)
    label = np.zeros((24, 32), np.uint8)
    label[:, 16:] = 1
    if i % 4 == 0:
        label[4:10, 2:10] = 3
    return Pair(rng.integers(0, 255, (24, 32, 3), np.uint8), label)


def stream(**settings):
    counts = np.array([np.bincount(read(i).label.ravel(), minlength=4) for i in range(8)])
    augment = Augment(crop=(12, 16), jitter=0.3, flip=0.5)
    drawn = rare(counts, **{"temperature": 0.01, "pixels": 20, **settings})
    return Stream("source", Samples(read, 8, (24, 32)), 4, augment, rare=drawn)


def test_batches_show_the_rare_class_and_are_the_same_after_a_resume_and_from_workers():
    own = stream()
    alone = list(batches([own], 1, range(6), 0))
    labels = torch.cat([batch["source_label"] for batch in alone])
    shown = (labels == 3).flatten(1).sum(1)
    assert (shown > 10).float().mean() > 0.9
    plain = torch.cat([Batches([replace(own, rare=None)], 1)[step]["source_label"] for step in range(6)])
    assert ((plain == 3).flatten(1).sum(1) > 10).float().mean() < 0.4
    again = list(batches([own], 1, range(4, 6), 2))
    for one, other in zip(alone[4:], again, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    backwards = [own.draw(1, position).pair for position in reversed(range(24))][::-1]
    assert np.array_equal(np.stack([pair.label for pair in backwards]), labels.numpy())
    assert not np.array_equal(own.draw(2, 0).pair.image, own.draw(1, 0).pair.image)


def test_crops_of_an_aligned_target_lie_where_those_of_the_rare_class_lie():
    def place(i):
        pair = read(i)
        rows, columns = np.mgrid[:24, :32].astype(np.uint8)
        return pair._replace(image=np.stack([rows, columns, columns], 2))

    plain = Augment(crop=(12, 16), flip=0.0)
    source = replace(stream(), samples=Samples(place, 8, (24, 32)), augment=plain, aligned=True)
    target = Stream("target", Samples(place, 8, (24, 32)), 4, plain, aligned=True)
    for step in range(6):
        batch = Batches([source, target], 1)[step]
        assert torch.equal(batch["source_image"], batch["target_image"])
        alone = Batches([replace(source, aligned=False)], 1)[step]
        assert torch.equal(batch["source_label"], alone["source_label"])


# --- warnings


def warned(counts, **settings):
    return sampling_warnings(rare(counts, **settings), NAMES)


def test_classes_that_no_image_shows_enough_of_are_named_with_the_pixels_that_would_do():
    counts = [[900, 500, 30, 0], [900, 600, 20, 8]]
    [text] = warned(counts, pixels=100, temperature=10)
    assert "never draws rider, train: no source image has more than 100 pixels" in text
    assert "retrain.rare.pixels=7 would draw every class" in text
    assert warned(counts, pixels=7, temperature=10) == []
    # A class that is nowhere in the source cannot be drawn, and needs no other setting.
    assert warned([[900, 500, 30, 0]], pixels=7, temperature=10) == []
    with pytest.raises(UdasegError, match=r"pixels=900: no source image has more pixels of a class; .* are 900") as e:
        rare(counts, pixels=900)
    assert e.value.hint == "set retrain.rare.pixels=899, or less"
    rare(counts, pixels=899)


@pytest.mark.parametrize(
    ("counts", "limit"),
    [((500, 300, 150, 50), 0.5), ((900, 90, 9, 1), 0.5), ((600, 399, 1, 0), 0.5), ((900, 100, 0, 0), 0.75)],
)
def test_a_class_that_is_drawn_most_of_the_time_is_named_with_the_temperature_that_would_do(counts, limit):
    [text] = warned([counts])
    rarest = NAMES[[count for count in counts if count].index(min(count for count in counts if count))]
    assert f"draws {rarest} with the probability " in text
    assert text.endswith(f" it is {limit:g}")
    value = re.search(r"retrain.rare.temperature=(\d+\.\d+) ", text)[1]
    assert warned([counts], temperature=float(value)) == []
    assert 0.97 * limit < rare([counts], temperature=float(value)).probabilities.max() <= limit
    assert len(value.lstrip("0.")) <= 2


def test_a_single_class_and_equal_ones_are_no_reason_to_warn():
    assert warned([[10, 0, 0, 0]]) == []
    assert warned([[10, 10, 0, 0]]) == []


def test_the_table_has_every_class():
    lines = describe(rare([[900, 90, 9, 1], [0, 0, 9, 0]], temperature=0.1, pixels=2), NAMES).splitlines()
    assert [line.split()[0] for line in lines] == ["class", *NAMES]
    assert lines[3].split()[3] == "2"
    assert lines[4].split()[1:] == ["0.000000", "0.000991", "0"]
