"""The index: rows in order, found one by one; images listed from it are those of the folder, in little memory."""

import contextlib
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from udaseg.data import open_images
from udaseg.data.datasets.indexed_images import IndexedImages
from udaseg.data.places import build, merge
from udaseg.data.places.build import INDEX, build_index
from udaseg.data.places.index_file import IndexFile, read_rows, write_rows
from udaseg.data.places.indexed_path import open_place
from udaseg.data.places.merge import merge_parts
from udaseg.data.places.row import Row
from udaseg.errors import UdasegError

from .samples import write_folder, write_tars

NAMES = {
    "one folder": ["a.jpg", "a-1.jpg", "a.b.png", "B.PNG", "ä ö.jpg"],
    "videos": ["s1/1.jpg", "s1/2.jpg", "s1/10.jpg", "s2/1.jpg", "s2/x/7.jpg", "0.jpg"],
    "numbered": [f"s{k}/{k}{i:03}.jpg" for k in (1, 2) for i in range(12)],
    "long": ["x" * 230 + ".jpg", "y" * 201 + ".jpg", "z.jpg", "notes.txt"],
}


def show(unit):
    return contextlib.nullcontext(lambda done, total: None)


def index(root, out):
    build_index(f"file://{root}", out, show=show)
    return open_place(f"file://{root}", out / INDEX)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_images_of_an_index_are_those_of_the_folder(tmp_path, names):
    for name in names:
        path = tmp_path / "data" / "train" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 3)).save(path, "PNG") if path.suffix != ".txt" else path.write_text("")
    expected = open_images("folder", tmp_path / "data", "train")
    place = index(tmp_path / "data", tmp_path / "index")
    found = open_images("folder", place, "train")
    assert isinstance(found.records, IndexedImages)
    described = [[(one.stem, one.sequence, one.frame) for one in images.records] for images in (expected, found)]
    assert described[1] == described[0]
    assert [one.image.relative_to(place) for one in found.records] == [
        one.image.relative_to(tmp_path / "data") for one in expected.records
    ]
    assert found.left_out == expected.left_out
    assert [one.stem for one in open_images("folder", place, "train", limit=2).records] == [
        one.stem for one in expected.records[:2]
    ]
    assert found.records[-1] == found.records[len(found) - 1]
    with pytest.raises(IndexError):
        found.records[len(found)]


def test_two_images_of_one_name_are_an_error_as_in_a_folder(tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        path = tmp_path / "data" / "train" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 3)).save(path)
    place = index(tmp_path / "data", tmp_path / "index")
    with pytest.raises(UdasegError, match=r"expected one file for each stem, found a\.jpg and a\.png"):
        open_images("folder", place, "train")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Write an index of 60,000 rows."""
    path = tmp_path_factory.mktemp("large") / "index.parquet"
    with write_rows(path) as writer:
        writer.put(Row(f"train/images/{i:08}.jpg", i, f"{i:032}", None, "train/0.tar", 512 * i) for i in range(60000))
    return path


def test_rows_are_found_by_number_and_by_path(large):
    file = IndexFile(large)
    assert len(file) == 60000
    for i in (0, 1, 4095, 4096, 31234, 59999):
        assert file[i].size == i
        assert file.path(i) == f"train/images/{i:08}.jpg"
        assert file.find(f"train/images/{i:08}.jpg") == file[i]
    assert file.find("train/images/x.jpg") is None
    assert (file.position(""), file.position("train/images/00005000"), file.position("z")) == (0, 5000, 60000)


def test_opening_and_reading_a_row_takes_no_memory_for_the_others(large):
    list(read_rows(large))  # imports
    tracemalloc.start()
    assert IndexFile(large).find("train/images/00031234.jpg").offset == 512 * 31234
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20  # 60,000 rows as Python objects take 20 MB or more


def test_parts_are_merged_in_any_number_of_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "_TOGETHER", 3)
    rng = np.random.default_rng(0)
    rows = [Row(f"{i:05}", i) for i in range(1000)]
    parts = []
    for number, chosen in enumerate(np.array_split(rng.permutation(1000), 17)):
        parts.append(tmp_path / f"part-{number}.parquet")
        with write_rows(parts[-1]) as writer:
            writer.put(rows[i] for i in sorted(chosen.tolist()))
    told = []
    assert merge_parts(parts, tmp_path / "out.parquet", 1000, lambda done, total: told.append((done, total))) == 1000
    assert list(read_rows(tmp_path / "out.parquet")) == rows
    assert told == [(1000, 1000)]


def test_shards_that_were_listed_are_not_read_again(tmp_path, monkeypatch):
    root = write_tars(tmp_path / "shards", write_folder(tmp_path / "folder"))
    tar = root / "train" / "000002.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[:-3000])
    with pytest.raises(UdasegError, match=r"000002.tar"):
        index(root, tmp_path / "index")
    tar.write_bytes(whole)
    read = []
    list_tar = build.list_tar
    monkeypatch.setattr(build, "list_tar", lambda file, size, shard, place: (read.append(shard), list_tar(
        file, size, shard, place))[1])  # fmt: skip
    place = index(root, tmp_path / "index")
    assert read == ["train/000002.tar"]
    again = index(root, tmp_path / "again")
    assert [*read_rows(tmp_path / "index" / INDEX)] == [*read_rows(tmp_path / "again" / INDEX)]
    assert len(place.source.index) == len(again.source.index) == 13


def test_a_damaged_index_is_an_error_that_says_how_to_make_it_again(tmp_path):
    place = index(write_folder(tmp_path / "folder"), tmp_path / "index")
    path = tmp_path / "index" / INDEX
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UdasegError, match=r"index.parquet: expected the index of a dataset, found"):
        open_place(str(place), path)
