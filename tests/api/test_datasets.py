"""Datasets for a DataLoader: the images and labels of the stages' own readers, of every dataset."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import udaseg
from udaseg.data import DATASETS, open_labelled
from udaseg.labels import SPACES

from ..data.corpora import CITYSCAPES_IDS, TRAIN_IDS, cityscapes, folder_dataset, gta5, label, photo, save, synthia


def test_samples_are_those_of_the_stages(tmp_path):
    images = udaseg.dataset("gta5", gta5(tmp_path))
    own = open_labelled("gta5", tmp_path, "train", SPACES["cs19"])
    assert (len(images), images.names, images.classes) == (3, ["00001", "00002", "00003"], SPACES["cs19"].classes)
    for i, sample in enumerate(images):
        assert set(sample) == {"image", "label", "name"}
        assert np.array_equal(sample["image"].permute(1, 2, 0), own.image(i))
        assert np.array_equal(sample["label"], own.label(i))
        assert (sample["image"].dtype, sample["label"].dtype) == (torch.uint8, torch.int64)


def test_a_loader_with_workers(tmp_path):
    images = udaseg.dataset("cityscapes", cityscapes(tmp_path, "train"), size=(3, 4))
    plain, parallel = (list(DataLoader(images, 2, num_workers=workers)) for workers in (0, 2))
    assert [batch["name"] for batch in plain] == [batch["name"] for batch in parallel]
    for one, other in zip(plain, parallel, strict=True):
        assert one["image"].shape == (2, 3, 3, 4)
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["label"], other["label"])
    again = pickle.loads(pickle.dumps(images))  # as where workers are spawned
    assert torch.equal(again[1]["image"], images[1]["image"])


def test_without_labels_no_label_is_opened(tmp_path):
    root = cityscapes(tmp_path, "train")
    for path in (root / "gtFine").rglob("*.png"):
        path.write_bytes(b"damaged")
    images = udaseg.dataset("cityscapes", root, labels=False)
    assert set(images[0]) == {"image", "name"}
    with pytest.raises(udaseg.UdasegError, match="the dataset has no labels to count"):
        udaseg.class_counts(images)
    with pytest.raises(udaseg.UdasegError, match="without labels nothing reads missing, depth"):
        udaseg.dataset("cityscapes", root, labels=False, depth=True, missing=["train"])


def test_files_that_are_left_out_cause_a_warning(tmp_path):
    root = cityscapes(tmp_path, "train")
    (next((root / "leftImg8bit/train").iterdir()) / "notes.txt").write_text("mine")
    for labels in (True, False):
        with pytest.warns(UserWarning, match=r"train: 1 files are left out: .*notes\.txt") as caught:
            udaseg.dataset("cityscapes", root, labels=labels)
        assert [one.filename for one in caught] == [__file__]


def test_padding_depth_and_a_transform(tmp_path):
    def mirror(sample):
        return sample | {"image": sample["image"].flip(2)}

    options = {"space": "syn16", "depth": True, "size": (14, 16), "pad": True, "limit": 2}
    images = udaseg.dataset("synthia", synthia(tmp_path), **options)
    sample = images[1]
    assert (sample["label"][12:] == 255).all()
    assert (sample["image"][:, 12:] == 0).all()
    assert sample["depth"][0, ::4].tolist() == [100, 300, 500, 700]  # centimetres
    turned = udaseg.dataset("synthia", tmp_path, **options, transform=mirror)
    assert torch.equal(turned[1]["image"], sample["image"].flip(2))
    assert len(images) == 2


def test_counts_of_classes(tmp_path):
    images = udaseg.dataset("gta5", gta5(tmp_path), size=(3, 4))
    counts = udaseg.class_counts(images)
    assert counts.dtype == np.int64
    assert counts[0].tolist() == [6 * TRAIN_IDS.count(c) for c in range(19)]  # at their own size
    assert (counts == counts[0]).all()


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_this_reader(tmp_path, name):
    with pytest.raises(udaseg.UdasegError) as error:
        udaseg.dataset(name, tmp_path, space=["road", "car"])
    assert str(tmp_path) in error.value.message
    assert "there is no dataset" not in error.value.message


def test_data_of_ones_own_warns_of_classes_that_lack(tmp_path):
    root = folder_dataset(tmp_path)
    with pytest.warns(UserWarning, match="no label of .* can be sky"):
        images = udaseg.dataset("folder", root, space=["car", "road", "sky"])
    assert images[0]["label"][0, :4].tolist() == [1, 0, 1, 0]
    chosen = tmp_path / "some.txt"
    chosen.write_text("b\n")
    assert udaseg.dataset("folder", root, space=["road", "car"], list_file=chosen).names == ["b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "citiscapes"}, "there is no dataset 'citiscapes'"),
        ({"split": "vall"}, "vall"),
        ({"space": "cs20"}, "there is no class space 'cs20'"),
        ({"space": ["road", "tree"]}, "have no class 'tree'"),
        ({"size": 512}, "size is 512, expected (height, width) in pixels"),
        ({"size": (0, 4)}, "size is (0, 4), expected (height, width) in pixels"),
        ({"pad": True}, "and there is no size"),
        ({"limit": 0}, "limit is 0, expected 1 or more images"),
        ({"depth": True}, "expected depth for every image of train, found none"),
        ({"coding": "trainids"}, "cityscapes detects the coding of its labels"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, options, message):
    cityscapes(tmp_path, "train")
    with pytest.raises(udaseg.UdasegError) as error:
        udaseg.dataset(**{"name": "cityscapes", "root": tmp_path} | options)
    assert message in error.value.message
    assert error.value.hint


def test_labels_as_train_ids(tmp_path):
    path = label(tmp_path / "a.png", CITYSCAPES_IDS)
    assert tuple(udaseg.read_label(path, coding="cityscapes")[0]) == TRAIN_IDS
    own = {7: "road", 26: "car"}
    with pytest.raises(udaseg.UdasegError, match=r"a\.png: expected ids of the coding 'of your own', found \[0, 8"):
        udaseg.read_label(path, ["road", "car"], own)
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = np.resize([7, 26, 255], (4, 6))
    label_HW = udaseg.read_label(save(tmp_path / "b.png", red), ["road", "car"], own)
    assert label_HW[0, :3].tolist() == [0, 1, 255]
    prediction = label(tmp_path / "c.png", (0, 1, 255))
    assert udaseg.read_label(prediction, ["road", "car"])[0, :3].tolist() == [0, 1, 255]
    with pytest.raises(udaseg.UdasegError, match="expected train ids 0 to 1 and 255, found"):
        udaseg.read_label(path, ["road", "car"])
    with pytest.raises(udaseg.UdasegError, match=r"d\.png: "):
        udaseg.read_label(photo(tmp_path / "d.png"), coding="cityscapes")


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_ids_as_train_ids(kind):
    ids = kind(np.array([CITYSCAPES_IDS]))
    mapped = udaseg.train_ids(ids, "cityscapes")
    assert type(mapped) is type(ids)
    assert np.array_equal(mapped, [TRAIN_IDS])
    for wrong, message in ((ids + 40, "found"), (ids - 1, "expected whole numbers from 0 to 255"), (ids / 2, "float")):
        with pytest.raises(udaseg.UdasegError, match=message):
            udaseg.train_ids(wrong, "cityscapes")
    own = {np.uint8(i): f"class {i}" for i in CITYSCAPES_IDS}
    assert udaseg.train_ids(ids, own, [f"class {CITYSCAPES_IDS[2]}"])[0, 2] == 0
    with pytest.raises(udaseg.UdasegError, match="coding is int, expected a name or a mapping of ids to names"):
        udaseg.train_ids(ids, 7)
    with pytest.raises(udaseg.UdasegError, match="there is no label coding 'cityscape'"):
        udaseg.train_ids(ids, "cityscape")
    with pytest.raises(udaseg.UdasegError, match="expected 0 to 255"):
        udaseg.train_ids(ids, {300: "road"})
