"""Shards: the pictures of a tar or Parquet file are those of a folder, with the same names and digests."""

import contextlib
import tarfile

import numpy as np
import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.datasets.registry import detect
from udaseg.data.places.build import INDEX, build_index
from udaseg.data.places.indexed_path import index_digests, open_place
from udaseg.data.places.layout_of_shards import choose_members, split_key, split_of
from udaseg.data.places.write_shards import write_shards
from udaseg.errors import UdasegError
from udaseg.io.digests import file_digests
from udaseg.labels import class_space

from .samples import samples, write_folder, write_parquet, write_tar, write_tars

SPACE = class_space(["road", "car", "sky"])


def show(unit):
    return contextlib.nullcontext(lambda done, total: None)


def index(root, out):
    build_index(f"file://{root}", out, show=show)
    return open_place(f"file://{root}", out / INDEX)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("folder"))


def write_as_it_is(root, folder):
    return folder


@pytest.mark.parametrize("write", [write_as_it_is, write_tars, write_parquet])
def test_the_pictures_are_those_of_the_folder(tmp_path, folder, write):
    place = index(write(tmp_path / "shards", folder), tmp_path / "index")
    expected, found = (open_labelled("folder", root, "train", SPACE) for root in (folder, place))
    assert [one.stem for one in found.records] == [one.stem for one in expected.records]
    for i in range(len(expected)):
        np.testing.assert_array_equal(found.image(i), expected.image(i))
        np.testing.assert_array_equal(found.label(i), expected.label(i))
    parts = ("image", "label")
    expected_files, found_files = (
        [getattr(r, part) for part in parts for r in one.records] for one in (expected, found)
    )
    assert index_digests(found_files, place) == file_digests(expected_files, folder)
    assert found.meaning == expected.meaning


def test_lists_limits_and_layouts_work_on_shards(tmp_path, folder):
    place = index(write_tars(tmp_path / "shards", folder), tmp_path / "index")
    listed = tmp_path / "list.txt"
    listed.write_text("004\n001.jpg\n002.png\n")
    images = open_images("folder", place, "train", limit=2, list_file=listed)
    assert [one.stem for one in images.records] == ["001", "002"]
    assert detect(place) == "folder"
    with pytest.raises(UdasegError, match="expected the val images"):
        open_images("folder", place, "val")


def test_a_tar_may_hold_the_layout_of_a_folder_in_its_keys(tmp_path, folder):
    [(_, image, mask), *_] = samples(folder)
    write_tar(tmp_path / "s" / "all" / "0.tar", [("a/b.c.jpg", image), ("a/b.jpeg", image), ("a/b.label.png", mask)])
    place = index(tmp_path / "s", tmp_path / "index")
    # The key of a/b.c.jpg is a/b too, and c.jpg says nothing of what it is: the jpeg is the image.
    assert list(place.source.index.paths(0)) == ["all/images/a/b.jpeg", "all/labels/a/b.png"]


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (["jpg", "png"], {"image": "jpg", "label": "png"}),
        (["png"], {"image": "png"}),
        (["png", "label.png"], {"image": "png", "label": "label.png"}),
        (["image.png", "seg.png", "depth.png"], {"image": "image.png", "label": "seg.png", "depth": "depth.png"}),
        (["json", "cls", "pyd", "pth", "JPG"], {"image": "JPG"}),
        (["pyd"], {}),
    ],
)
def test_the_extensions_of_a_sample_say_what_is_what(extensions, expected):
    assert choose_members(extensions) == expected


def test_keys_go_to_the_first_dot_as_in_webdataset():
    assert split_key("seq.1/000001.label.png") == ("seq.1/000001", "label.png")
    assert [split_of(name) for name in ("train/0001.tar", "train-0001.tar", "0001.tar")] == ["train", "train", "."]
    assert split_of("data/validation-00003-of-00010.parquet") == "validation"


@pytest.mark.parametrize("cut", [700, 1024 + 100, -1024])
def test_a_tar_that_is_cut_off_is_an_error(tmp_path, folder, cut):
    tar = write_tars(tmp_path / "shards", folder, each=6) / "train" / "000000.tar"
    with tarfile.open(tar) as file:
        end = max(member.offset_data + -(-member.size // 512) * 512 for member in file)
    tar.write_bytes(tar.read_bytes()[: cut if cut > 0 else end])
    with pytest.raises(UdasegError, match=r"train/000000.tar: expected a whole tar file, found \d+ bytes"):
        index(tmp_path / "shards", tmp_path / "index")


@pytest.mark.parametrize("name", ["../out.jpg", "/etc/key.jpg", "a/../../b.jpg"])
def test_a_member_that_leads_out_is_refused(tmp_path, folder, name):
    [(_, image, _), *_] = samples(folder)
    write_tar(tmp_path / "shards" / "train" / "0.tar", [(name, image)])
    with pytest.raises(UdasegError, match="expected names of samples, found a member"):
        index(tmp_path / "shards", tmp_path / "index")


def test_links_and_pickles_in_a_tar_are_not_read(tmp_path, folder):
    [(key, image, _), *_] = samples(folder)
    tar = tmp_path / "shards" / "train" / "0.tar"
    write_tar(tar, [(f"{key}.jpg", image), (f"{key}.pyd", b"\x80\x04."), (f"{key}.pth", b"\x80\x04.")])
    with tarfile.open(tar, "a") as file:
        link = tarfile.TarInfo("secret.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    summary = build_index(f"file://{tmp_path}/shards", tmp_path / "index", show=show)
    assert summary.files == 1
    assert "000.pyd, 000.pth" in summary.warnings[0]


def test_one_key_in_two_shards_is_an_error(tmp_path, folder):
    [(key, image, _), *_] = samples(folder)
    for shard in ("0.tar", "1.tar"):
        write_tar(tmp_path / "shards" / "train" / shard, [(f"{key}.jpg", image)])
    with pytest.raises(UdasegError, match=r"found train/images/000.jpg in train/0.tar, train/1.tar"):
        index(tmp_path / "shards", tmp_path / "index")


def test_a_shard_that_changed_after_it_was_listed_is_an_error(tmp_path, folder):
    root = write_tars(tmp_path / "shards", folder)
    images = open_images("folder", index(root, tmp_path / "index"), "train")
    tar = root / "train" / "000000.tar"
    content = bytearray(tar.read_bytes())
    content[700] ^= 1
    tar.write_bytes(content)
    with pytest.raises(UdasegError, match=r"000.jpg: expected the content of the index, .* train/000000.tar has cha"):
        images.image(0)
    images.image(2)  # of another shard


def test_a_parquet_file_without_images_is_left_out_with_a_warning(tmp_path, folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    root = write_tars(tmp_path / "shards", folder)
    parquet.write_table(pyarrow.table({"label": [1, 2]}), root / "metadata.parquet")
    summary = build_index(f"file://{root}", tmp_path / "index", show=show)
    assert summary.files == 13
    assert "metadata.parquet" in summary.warnings[0]


def test_a_damaged_parquet_file_is_an_error(tmp_path, folder):
    root = write_parquet(tmp_path / "shards", folder)
    path = root / "data" / "train-00000-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UdasegError, match=r"train-00000-of-00002.parquet: expected a whole Parquet file, found"):
        index(root, tmp_path / "index")


def test_a_broken_picture_in_a_shard_is_named(tmp_path, folder):
    [(key, image, _), *_] = samples(folder)
    write_tar(tmp_path / "shards" / "train" / "0.tar", [(f"{key}.jpg", image[:200])])
    images = open_images("folder", index(tmp_path / "shards", tmp_path / "index"), "train")
    with pytest.raises(UdasegError, match=r"shards/train/images/000.jpg: expected an image, found a damaged"):
        images.image(0)


def test_shards_that_are_written_give_the_folder_back(tmp_path):
    root = write_folder(tmp_path / "folder", count=5)
    (root / "train" / "labels" / "003.png").unlink()
    written = write_shards(root, tmp_path / "shards", "train", 1)
    assert written == (5, 4, 1)
    tar = tmp_path / "shards" / "train" / "000000.tar"
    content = tar.read_bytes()
    with pytest.raises(UdasegError, match="holds tars already"):
        write_shards(root, tmp_path / "shards", "train", 1)
    write_shards(root, tmp_path / "again", "train", 1)
    assert (tmp_path / "again" / "train" / "000000.tar").read_bytes() == content
    place = index(tmp_path / "shards", tmp_path / "index")
    rows = {row.path: row.digest for row in map(place.source.index.__getitem__, range(len(place.source.index)))}
    files = [path for path in root.rglob("*") if path.is_file()]
    assert rows == dict(file_digests(files, root))


def test_a_name_with_a_dot_is_no_key(tmp_path):
    root = write_folder(tmp_path / "folder", count=1)
    (root / "train" / "images" / "000.jpg").rename(root / "train" / "images" / "0.0.jpg")
    with pytest.raises(UdasegError, match=r"expected names without dots before their suffix, found 0\.0"):
        write_shards(root, tmp_path / "shards", "train", 1)
