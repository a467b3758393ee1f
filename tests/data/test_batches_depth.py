"""Depth in training batches: there when asked for, and always that of its pixel."""

import numpy as np
import pytest
import torch
from PIL import Image

from udaseg.config import Augment
from udaseg.data.augment import Pair, augment, fit
from udaseg.data.batches import Batches, Stream
from udaseg.data.datasets.registry import open_labelled
from udaseg.data.depth import inverse_depth
from udaseg.data.image_sets import View
from udaseg.data.samples import labelled, with_depth
from udaseg.errors import UdasegError
from udaseg.labels import IGNORE, class_space

from .test_augment import coded

SPACE = class_space(["road", "sky"])


def known(label_HW):
    """A depth from which the label can be told."""
    return label_HW.astype(np.float32) + 1


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_depth_goes_through_the_same_scale_crop_and_flip(flip):
    whole = coded(20, 30)
    for seed in range(20):
        pair = whole._replace(depth=known(whole.label))
        settings = Augment(crop=(14, 17), scale=(0.5, 1.5), flip=flip)
        pair = augment(pair, settings, np.random.default_rng(seed))
        inside = pair.label != IGNORE
        assert np.array_equal(pair.depth[inside], known(pair.label)[inside])
        assert not pair.depth[~inside].any()


def test_resized_depth_has_only_original_values_and_zero_padding():
    whole = coded(20, 30)
    pair = fit(whole._replace(depth=known(whole.label)), (13, 40), pad=False)
    assert np.array_equal(pair.depth, known(pair.label))
    pair = fit(whole._replace(depth=known(whole.label)), (20, 40), pad=True)
    assert np.array_equal(pair.depth[:, :30], known(whole.label))
    assert not pair.depth[:, 30:].any()


class ImageList:
    space = SPACE

    def __len__(self):
        return 2

    def image(self, i):
        return np.zeros((4, 6, 3), np.uint8)

    def label(self, i):
        return np.tile(np.array([0, 0, 0, 1, 1, 255], np.uint8), (4, 1))

    def depth(self, i):
        return np.tile(np.array([0, 600, 65535, 65535, 0, 300], np.uint16), (4, 1))


def batch(samples):
    return Batches([Stream("source", samples, 2, Augment(flip=0.0))], 0)[0]


def test_a_batch_holds_inverse_depth_only_with_depth_samples():
    assert sorted(batch(labelled(View(ImageList())))) == ["source_image", "source_label"]
    found = batch(with_depth(View(ImageList())))["source_depth"]
    assert found.dtype == torch.float32
    assert found.shape == (2, 4, 6)
    expected = [0, float(inverse_depth(np.array(600, np.uint16))), 0, 1, 0, 65536 / 301]
    assert found[1, 2].tolist() == pytest.approx(expected)
    raw = batch(with_depth(View(ImageList()), mask_invalid=False))["source_depth"]
    assert raw[0, 0].tolist() == pytest.approx([65536, expected[1], 1, 1, 65536, expected[5]])


def test_the_rest_of_a_batch_does_not_depend_on_the_depth():
    plain, deep = batch(labelled(View(ImageList(), (8, 9)))), batch(with_depth(View(ImageList(), (8, 9))))
    assert all(torch.equal(plain[name], deep[name]) for name in plain)
    assert deep["source_depth"].shape == (2, 8, 9)


def write(folder, stem, size, depth):
    for part in ("images", "labels", "depth"):
        (folder / "train" / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / "train" / "images" / f"{stem}.png")
    Image.fromarray(np.zeros(size, np.uint8)).save(folder / "train" / "labels" / f"{stem}.png")
    Image.fromarray(np.full(depth, 500, np.uint16)).save(folder / "train" / "depth" / f"{stem}.png")
    (folder / "classes.yaml").write_text("names: [road, sky]\n")


def test_depth_of_another_size_than_its_image_is_named(tmp_path):
    write(tmp_path, "a", (4, 6), (4, 6))
    write(tmp_path, "b", (4, 6), (5, 6))
    images = open_labelled("folder", tmp_path, "train", SPACE)
    assert (images.depth(0) == 500).all()
    with pytest.raises(UdasegError, match=r"b\.png: expected the aspect of its image, 4x6, found 5x6"):
        images.depth(1)


def test_a_pair_has_no_depth_by_default():
    assert augment(Pair(*coded(4, 5)[:2]), Augment(), np.random.default_rng(0)).depth is None
