"""Pictures in an object store: the same as in a folder, and what the world does to requests."""

import contextlib
import functools
import http.server
import importlib
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.places import store as stores
from udaseg.data.places.build import INDEX, build_index
from udaseg.data.places.indexed_path import index_digests, open_place
from udaseg.errors import UdasegError
from udaseg.io.digests import file_digests
from udaseg.labels import class_space

from .samples import write_folder, write_parquet, write_tars

SPACE = class_space(["road", "car", "sky"])


def show(unit):
    return contextlib.nullcontext(lambda done, total: None)


def index(address, out, **options):
    out = out / "index" / "x"
    build_index(address, out, show=show, **options)
    return open_place(address, out / INDEX)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("folder"))


@pytest.mark.parametrize(("name", "write"), [("folder", None), ("tars", write_tars), ("parquet", write_parquet)])
def test_s3_gives_the_pictures_of_the_folder(store, tmp_path, folder, name, write):
    address = store.put(f"same-{name}", folder if write is None else write(tmp_path / name, folder), "some/where/")
    place = index(address, tmp_path, read_all=True)
    expected, found = (open_labelled("folder", root, "train", SPACE) for root in (folder, place))
    for i in range(len(expected)):
        np.testing.assert_array_equal(found.image(i), expected.image(i))
        np.testing.assert_array_equal(found.label(i), expected.label(i))
    names = [[record.image for record in one.records] for one in (expected, found)]
    assert index_digests(names[1], place) == file_digests(names[0], folder)


def test_objects_with_a_version_are_not_read_to_list_them(store, tmp_path, folder):
    place = index(store.put("listed", folder), tmp_path)
    assert not [one for one in store.requests if one.endswith(".jpg") and one.startswith("GET")]
    images = open_images("folder", place, "train")
    store.requests.clear()
    images.image(0)
    assert store.requests == ["GET /listed/train/images/000.jpg"]
    assert images.records[0].image.row().etag


def test_throttling_and_cut_answers_are_tried_again(store, tmp_path, folder):
    images = open_images("folder", index(store.put("throttled", folder), tmp_path), "train")
    for kind in ("slow down", "cut"):
        with store.failing("00[0-3]", kind, times=2):
            images = open_images("folder", images.root, "train")
            assert images.image(0).shape == (12, 16, 3)
        images.root.source._cache.clear()


def test_a_store_that_keeps_refusing_is_one_clear_error(store, tmp_path, folder):
    images = open_images("folder", index(store.put("refusing", folder), tmp_path), "train")
    with store.failing("000.jpg", "slow down", times=99), pytest.raises(UdasegError) as caught:
        images.image(0)
    assert "s3://refusing/train/images/000.jpg: expected an answer, found after 6 attempts" in caught.value.message
    assert "the same command goes on" in caught.value.hint
    assert len([one for one in store.requests if one.endswith("000.jpg")]) == 6 + 1  # and the PUT


def test_an_answer_that_does_not_come_is_asked_for_again(store, tmp_path, folder, monkeypatch):
    monkeypatch.setattr(stores, "READ_TIMEOUT", 0.5)
    images = open_images("folder", index(store.put("slow", folder), tmp_path), "train")
    started = time.monotonic()
    with store.failing("000.jpg", "hang", times=1, seconds=3):
        assert images.image(0).shape == (12, 16, 3)
    assert time.monotonic() - started < 3


def test_a_missing_object_is_named(store, tmp_path, folder):
    images = open_images("folder", index(store.put("missing", folder), tmp_path), "train")
    store.client.delete_object(Bucket="missing", Key="train/images/001.jpg")
    with pytest.raises(UdasegError) as caught:
        images.image(1)
    assert caught.value.message.startswith("s3://missing/train/images/001.jpg: expected 920 bytes of train/images/001")
    assert f"udaseg data index s3://missing --data {tmp_path} --force" in caught.value.hint


@pytest.mark.parametrize("same_size", [True, False])
def test_an_object_that_changed_is_an_error(store, tmp_path, folder, same_size):
    bucket = f"changed-{same_size}".lower()
    images = open_images("folder", index(store.put(bucket, folder), tmp_path), "train")
    content = (folder / "train" / "images" / "002.jpg").read_bytes()
    content = content[:-1] + b"x" if same_size else content + b"x"
    store.client.put_object(Bucket=bucket, Key="train/images/002.jpg", Body=content)
    with pytest.raises(UdasegError, match=r"002.jpg: expected the content of the index, \w+.*, found .* has changed"):
        images.image(2)


def test_an_object_whose_version_is_no_digest_is_compared_by_its_version(store, tmp_path, folder):
    store.client.create_bucket(Bucket="parts")
    path = "train/images/000.jpg"
    upload = store.client.create_multipart_upload(Bucket="parts", Key=path)["UploadId"]
    part = store.client.upload_part(
        Bucket="parts", Key=path, UploadId=upload, PartNumber=1, Body=(folder / path).read_bytes()
    )
    store.client.complete_multipart_upload(
        Bucket="parts", Key=path, UploadId=upload, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    )
    images = open_images("folder", index("s3://parts", tmp_path), "train")
    assert images.image(0).shape == (12, 16, 3)
    assert images.records[0].image.row().etag.endswith("-1")


def test_absent_credentials_are_a_clear_error(store, tmp_path, folder, monkeypatch):
    address = store.put("private", folder)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(UdasegError, match="s3://private: expected credentials that may read it") as caught:
        index(address, tmp_path)
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_a_bucket_that_is_not_there_is_a_clear_error(store, tmp_path):
    with pytest.raises(UdasegError, match="s3://nowhere: expected an object, found none"):
        index("s3://nowhere", tmp_path)


def test_the_listing_goes_on_where_it_was(store, tmp_path, folder, monkeypatch):
    from udaseg.data.places import listing

    monkeypatch.setattr(listing, "_PAGE", 4)
    address = store.put("resumed", folder)
    with store.failing("labels/002", "slow down", times=99), pytest.raises(UdasegError, match="after 6 attempts"):
        index(address, tmp_path, read_all=True)
    store.requests.clear()
    place = index(address, tmp_path, read_all=True)
    read = [one for one in store.requests if one.endswith((".jpg", ".png", ".yaml")) and one.startswith("GET")]
    assert len(read) == 13 - 8  # two pages were whole
    assert len(place.source.index) == 13
    whole = index(address, tmp_path / "again", read_all=True)
    assert (tmp_path / "index" / "x" / INDEX).read_bytes() == (tmp_path / "again" / "index" / "x" / INDEX).read_bytes()
    assert list(whole.source.index.paths(0)) == list(place.source.index.paths(0))


class Pages(http.server.SimpleHTTPRequestHandler):
    """Show folders as pages of links, and give parts of files where `parts` is true."""

    parts = True

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not self.parts or path.is_dir() or not path.exists() or "Range" not in self.headers:
            super().do_GET()
            return
        start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        data = path.read_bytes()[start : end + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def pages(tmp_path):
    """Serve the folder of the test; give its address."""
    pytest.importorskip("aiohttp")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_shows_folders_as_pages_gives_the_pictures(tmp_path, folder, pages, monkeypatch):
    root = write_tars(tmp_path / "tars", folder)
    images = open_images("folder", index(f"{pages}/tars", tmp_path), "train")
    assert [one.stem for one in images.records] == [f"{i:03}" for i in range(6)]
    np.testing.assert_array_equal(images.image(3), open_images("folder", folder, "train").image(3))
    (root / "train" / "000000.tar").unlink()
    with pytest.raises(UdasegError, match=r"000.jpg: expected 922 bytes of train/000000.tar, found no such object"):
        images.image(0)
    monkeypatch.setattr(Pages, "parts", False)
    with pytest.raises(UdasegError, match=r"000001.tar: expected 915 bytes of it, found 10240: the server gives"):
        images.image(2)


@pytest.mark.parametrize(
    ("module", "address", "hint"),
    [
        ("pyarrow", "memory://x", "pip install 'udaseg[remote]'"),
        ("s3fs", "s3://x", "pip install 'udaseg[remote]'"),
        ("gcsfs", "gs://x", "pip install 'udaseg[remote]' gcsfs"),
    ],
)
def test_a_missing_package_is_one_error_with_its_command(tmp_path, monkeypatch, module, address, hint):
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(registry._registry, "s3", raising=False)  # which remembers what it has imported
    stores.open_store.cache_clear()
    with pytest.raises(UdasegError, match=f"{address}: reading it needs the package {module}") as caught:
        index(address, tmp_path)
    assert caught.value.hint == hint
