"""Depth of rendered datasets in the encodings in which it is published."""

import numpy as np
import pytest

from udaseg.data import open_labelled
from udaseg.data.check import check
from udaseg.data.datasets import depth_maps
from udaseg.data.depth import FAR, centimetres
from udaseg.data.images import exr
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, class_space

from .corpora import CITYSCAPES_IDS, SIZE, TRAIN_IDS, columns, label, photo, save

CS19 = SPACES["cs19"]
METRES = [0.5, 1.234, 10, 99.996, 655.34, 655.36, 1000, 0]
CENTIMETRES = [50, 123, 1000, 10_000, 65_534, FAR, FAR, 0]


def write_exr(path, channels: dict[str, np.ndarray]):
    open_exr = pytest.importorskip("OpenEXR")
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"compression": open_exr.ZIP_COMPRESSION, "type": open_exr.scanlineimage}
    open_exr.File(header, {name: np.ascontiguousarray(values) for name, values in channels.items()}).write(str(path))


def urbansyn(root, depth=METRES):
    for i in (1, 2):
        photo(root / f"rgb/rgb_{i:04d}.png")
        label(root / f"ss/ss_{i:04d}.png", (*TRAIN_IDS[:7], 19))
        write_exr(root / f"depth/depth_{i:04d}.exr", {"Y": (columns(depth) / 1e5).astype(np.float32)})
    return root


def synscapes(root):
    photo(root / "img/rgb/1.png")
    label(root / "img/class/1.png", CITYSCAPES_IDS)
    write_exr(root / "img/depth/1.exr", {"Z": columns(METRES).astype(np.float32)})
    return root


def test_metres_become_centimetres():
    assert centimetres(np.array([*METRES, np.nan, np.inf, -1])).tolist() == [*CENTIMETRES, FAR, FAR, 0]


@pytest.mark.parametrize(("dataset", "make"), [("urbansyn", urbansyn), ("synscapes", synscapes)])
def test_depth_in_openexr_files(tmp_path, dataset, make):
    images = open_labelled(dataset, make(tmp_path), "train", CS19)
    assert images.has_depth
    assert images.depth(0)[0].tolist() == CENTIMETRES
    assert "depth: OpenEXR, in m" in images.notes
    (split,) = check(tmp_path).splits
    assert split.depth == len(images)
    assert check(tmp_path).ok


def test_three_equal_channels_of_half_precision(tmp_path):
    values = columns([1, 2, 4, 8, 16, 32, 64, 128]).astype(np.float16)
    write_exr(tmp_path / "a.exr", {"RGB": np.stack([values] * 3, axis=-1)})
    assert exr.read_exr_depth(tmp_path / "a.exr")[0].tolist() == [100, 200, 400, 800, 1600, 3200, 6400, 12_800]
    write_exr(tmp_path / "b.exr", {"Y": values, "Z": values + 1})
    with pytest.raises(UdasegError, match="expected a depth map of one channel, found Y, Z"):
        exr.read_exr_depth(tmp_path / "b.exr")


def test_damaged_openexr_files_are_named(tmp_path):
    urbansyn(tmp_path)
    path = tmp_path / "depth/depth_0002.exr"
    path.write_bytes(path.read_bytes()[:60])
    images = open_labelled("urbansyn", tmp_path, "train", CS19)
    with pytest.raises(UdasegError, match=r"depth_0002\.exr: expected a depth map, found a damaged or unreadable"):
        images.depth(1)
    (finding,) = [one for one in check(tmp_path).findings if one.severity == "error"]
    assert finding.message == "depth maps that cannot be read"
    path.unlink()
    with pytest.raises(UdasegError, match="found no such file"):
        exr.read_exr_depth(path)


def test_depth_of_some_images_is_left_out_with_a_note(tmp_path):
    (urbansyn(tmp_path) / "depth/depth_0002.exr").unlink()
    images = open_labelled("urbansyn", tmp_path, "train", CS19)
    assert not images.has_depth
    assert "depth: none; 1 of 2 images have no file in depth/" in images.notes


def test_without_the_package_labels_are_read_and_depth_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(depth_maps, "can_read_exr", lambda: False)
    monkeypatch.setattr(exr, "can_read_exr", lambda: False)
    photo(tmp_path / "img/rgb/1.png")
    label(tmp_path / "img/class/1.png", CITYSCAPES_IDS)
    (tmp_path / "img/depth").mkdir()
    (tmp_path / "img/depth/1.exr").write_bytes(b"x")
    images = open_labelled("synscapes", tmp_path, "train", CS19)
    assert not images.has_depth
    assert any("pip install 'udaseg[exr]'" in note for note in images.notes)
    assert check(tmp_path).ok
    with pytest.raises(UdasegError, match="needs the package OpenEXR") as error:
        exr.read_exr_depth(tmp_path / "img/depth/1.exr")
    assert error.value.hint == "pip install 'udaseg[exr]'"


CARLA_SPACE = class_space(["road", "car", "sky"])


def encode(metres) -> np.ndarray:
    """Encode metres as CARLA's depth camera does: RGBA of 24 bits, the lowest in red."""
    values = np.rint(columns(metres).astype(np.float64) / 1000 * (2**24 - 1)).astype(np.int64)
    return np.stack([values % 256, values // 256 % 256, values // 65536, values * 0 + 255], axis=-1).astype(np.uint8)


def carla(root, routes=("",), images="rgb", labels="semantics", depth="depth"):
    for route in routes:
        photo(root / route / images / "0000.png")
        save(root / route / labels / "0000.png", columns([1, 1, 14, 11]).astype(np.uint8))
        save(root / route / depth / "0000.png", encode(METRES))
    return root


@pytest.mark.parametrize("names", [("rgb", "semantics", "depth"), ("rgb_front", "seg_front", "depth_front")])
def test_depth_of_carla(tmp_path, names):
    images = open_labelled("carla", carla(tmp_path, ("Town01/a", "Town02/b"), *names), "train", CARLA_SPACE)
    assert images.has_depth
    assert images.depth(1)[0].tolist() == CENTIMETRES
    assert check(tmp_path, "carla").ok


@pytest.mark.parametrize("grey", [columns([9, 90, 200]).astype(np.uint8), np.full((*SIZE, 3), 77, np.uint8)])
def test_renderings_of_depth_in_grey_are_left_out_with_a_note(tmp_path, grey):
    save(carla(tmp_path) / "depth/0000.png", grey)
    images = open_labelled("carla", tmp_path, "train", CARLA_SPACE)
    assert not images.has_depth
    assert any("rendered in grey: record it without a colour converter" in note for note in images.notes)


def test_recordings_without_depth_are_read_as_before(tmp_path):
    carla(tmp_path, ("Town01/a", "Town02/b"))
    (tmp_path / "Town02/b/depth").rename(tmp_path / "Town02/b/lidar")
    images = open_labelled("carla", tmp_path, "train", CARLA_SPACE)
    assert not images.has_depth
    assert "depth: none; 1 of 2 images have no file in depth/" in images.notes
    (tmp_path / "Town01/a/depth").rename(tmp_path / "Town01/a/lidar")
    assert "depth: none" in open_labelled("carla", tmp_path, "train", CARLA_SPACE).notes


def test_another_kind_of_depth_among_those_of_carla_is_an_error(tmp_path):
    carla(tmp_path, [f"r{i}" for i in range(6)])
    save(tmp_path / "r1/depth/0000.png", columns([100, 200]).astype(np.uint16))
    images = open_labelled("carla", tmp_path, "train", CARLA_SPACE)
    with pytest.raises(UdasegError, match=r"0000\.png: expected depth in red, green and blue of 8 bits, found 16-bit"):
        images.depth(1)
