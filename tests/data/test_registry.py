import dataclasses
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.data import open_images, open_labelled
from udaseg.data.image_sets import ImageSet
from udaseg.errors import UdasegError
from udaseg.labels import SPACES

from .corpora import CITYSCAPES_IDS, TRAIN_IDS, cityscapes, label, photo

CS19 = SPACES["cs19"]
FILES = Path("/proc/self/fd")  # the open files of this process, where the system tells


def test_target_labels_cannot_be_reached_through_a_set_of_images(tmp_path):
    cityscapes(tmp_path, "train")
    target = open_images("cityscapes", tmp_path, "train")
    assert type(target) is ImageSet
    for name in ("label", "labels", "depth", "coding", "table", "space"):
        assert not hasattr(target, name)
        assert not hasattr(target.records[0], name)
        with pytest.raises((AttributeError, TypeError)):
            object.__setattr__(target, name, None)
        with pytest.raises((AttributeError, TypeError)):
            object.__setattr__(target.records[0], name, None)
        with pytest.raises(TypeError):
            dataclasses.replace(target, **{name: None})
    everything = pickle.dumps(target)
    assert b"gtFine" not in everything
    assert b"labelIds" not in everything


def test_target_images_open_without_labels_on_disk(tmp_path):
    cityscapes(tmp_path, "train")
    for path in (tmp_path / "gtFine/train").rglob("*.png"):
        path.write_bytes(b"")
    assert len(open_images("cityscapes", tmp_path, "train")) == 4
    assert open_images("cityscapes", tmp_path, "train", limit=3).image(2).shape == (6, 8, 3)


def test_a_list_file_selects_the_images(tmp_path):
    cityscapes(tmp_path, "train")
    everything = open_images("cityscapes", tmp_path, "train").records
    selection = [everything[2], everything[0]]
    lines = (
        [record.stem for record in selection],
        [record.image.name for record in selection],
        [f"leftImg8bit/train/somewhere/{record.image.name}\tgtFine/train/a b.png" for record in selection],
        ["# a comment", "", f"/{selection[0].image.name} {selection[0].stem}", selection[1].stem, selection[1].stem],
    )
    for i, text in enumerate(lines):
        path = tmp_path / f"{i}.txt"
        path.write_text("\n".join(text))
        assert open_images("cityscapes", tmp_path, "train", list_file=path).records == (everything[0], everything[2])
        assert open_images("cityscapes", tmp_path, "train", limit=1, list_file=path).records == (everything[0],)
        labelled = open_labelled("cityscapes", tmp_path, "train", CS19, list_file=path)
        assert [record.stem for record in labelled.records] == [everything[0].stem, everything[2].stem]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nowhere_000000_000019\n", "found 1 others: nowhere_000000_000019"),
        (b"# nothing\n\n", "found no name"),
        (b"\x89PNG\xff", "found 1 others: \udc89PNG\udcff"),
        (None, "cannot read the list"),
    ],
)
def test_an_invalid_list_file_raises(tmp_path, content, message):
    cityscapes(tmp_path, "train")
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UdasegError, match=message) as raised:
        open_images("cityscapes", tmp_path, "train", list_file=path)
    assert str(path) in raised.value.message


def test_labels_are_writable_train_ids(tmp_path):
    images = open_labelled("cityscapes", cityscapes(tmp_path), "val", CS19)
    labels = images.label(0)
    assert labels.dtype == np.uint8
    assert labels[0].tolist() == list(TRAIN_IDS)
    labels[:] = 0
    assert images.label(0)[0].tolist() == list(TRAIN_IDS)
    assert pickle.loads(pickle.dumps(images)).label(0)[0].tolist() == list(TRAIN_IDS)


@pytest.mark.parametrize("space", SPACES)
def test_labels_stay_within_their_space(tmp_path, space):
    images = open_labelled("cityscapes", cityscapes(tmp_path), "val", SPACES[space])
    expected = images.table[np.array(CITYSCAPES_IDS)]
    assert np.array_equal(images.label(0)[0], expected)
    assert set(expected.tolist()) <= {*range(len(SPACES[space])), 255}


def test_an_id_outside_the_coding_raises(tmp_path):
    cityscapes(tmp_path)
    path = label(tmp_path / "gtFine/val/aachen/aachen_000000_000019_gtFine_labelIds.png", (7, 8, 60, 99))
    images = open_labelled("cityscapes", tmp_path, "val", CS19)
    with pytest.raises(UdasegError, match=rf"{path.name}: expected ids of the coding 'cityscapes', found \[60, 99\]"):
        images.label(0)


@pytest.mark.parametrize("size", [(7, 8), (6, 9), (3, 8), (60, 100), (8, 6)])
def test_a_label_of_another_aspect_than_its_image_raises(tmp_path, size):
    cityscapes(tmp_path)
    label(tmp_path / "gtFine/val/bonn/bonn_000000_000019_gtFine_labelIds.png", size=size)
    images = open_labelled("cityscapes", tmp_path, "val", CS19)
    for read in (images.label, images.full_label):
        with pytest.raises(
            UdasegError, match=rf"bonn_000000.*expected the aspect of its image, 6x8, found {size[0]}x{size[1]}"
        ):
            read(2)


@pytest.mark.parametrize("size", [(3, 4), (12, 16), (60, 80), (12, 17)])
def test_a_label_of_its_images_aspect_is_resized_to_train_and_whole_to_score(tmp_path, size):
    cityscapes(tmp_path)
    path = label(tmp_path / "gtFine/val/bonn/bonn_000000_000019_gtFine_labelIds.png", size=size)
    images = open_labelled("cityscapes", tmp_path, "val", CS19)
    with Image.open(path) as stored:
        nearest = np.array(stored.resize((8, 6), Image.Resampling.NEAREST))
        assert np.array_equal(images.label(2), images.table[nearest])
        assert np.array_equal(images.full_label(2), images.table[np.array(stored)])
    assert np.array_equal(images.full_label(1), images.label(1))


def test_readers_close_their_files_and_keep_no_memory(tmp_path):
    for i in range(3):
        photo(tmp_path / f"images/{i}.png", (100, 100), seed=i)
        label(tmp_path / f"labels/{i}.png", size=(100, 100))
    images = open_labelled("gta5", tmp_path, "train", CS19)

    def read(times):
        for i in range(times):
            images.image(i % 3)
            images.label(i % 3)

    read(50)
    open_files = len(list(FILES.iterdir())) if FILES.is_dir() else 0
    tracemalloc.start()
    try:
        read(20)
        before = tracemalloc.get_traced_memory()[0]
        read(500)
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert growth < 10 * 100 * 100  # ten labels of a thousand files; Pillow keeps some names of its own
    if open_files:
        assert len(list(FILES.iterdir())) == open_files
