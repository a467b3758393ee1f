"""Rendered datasets: UrbanSyn, Synscapes, Virtual KITTI 2, CARLA and IDDA."""

import numpy as np
import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.check import check
from udaseg.data.datasets.registry import detect
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, class_space

from .corpora import CITYSCAPES_IDS, TRAIN_IDS, columns, label, photo, save

CS19 = SPACES["cs19"]


@pytest.mark.parametrize("void", [19, 255])
def test_urbansyn(tmp_path, void):
    for i in range(1, 3):
        photo(tmp_path / f"rgb/rgb_{i:04d}.png", seed=i)
        label(tmp_path / f"ss/ss_{i:04d}.png", (*TRAIN_IDS[:7], void))
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth/depth_0001.exr").write_bytes(b"x")
    assert detect(tmp_path) == "urbansyn"
    images = open_labelled("urbansyn", tmp_path, "train", CS19)
    assert [record.stem for record in images.records] == ["0001", "0002"]
    assert tuple(images.label(1)[0]) == TRAIN_IDS
    assert not images.has_depth
    assert any("exr is not read" in note for note in images.notes)
    (tmp_path / "ss").rename(tmp_path / "ss_colour")
    with pytest.raises(UdasegError, match="expected the labels of UrbanSyn in ss/") as error:
        open_labelled("urbansyn", tmp_path, "train", CS19)
    assert "ss.zip" in error.value.hint
    assert not check(tmp_path, "urbansyn").ok  # a source is useless without labels


@pytest.mark.parametrize(
    ("values", "coding"),
    [(CITYSCAPES_IDS, "cityscapes"), ((*CITYSCAPES_IDS[:7], 255), "cityscapes"), (TRAIN_IDS, "trainids")],
)
def test_synscapes(tmp_path, values, coding):
    for i in (1, 10):
        photo(tmp_path / f"img/rgb/{i}.png", seed=i)
        photo(tmp_path / f"img/rgb-2k/{i}.png", (9, 12), seed=i)
        label(tmp_path / f"img/class/{i}.png", values)
    assert detect(tmp_path) == "synscapes"
    images = open_labelled("synscapes", tmp_path, "train", CS19)
    assert images.image(0).shape == (6, 8, 3)
    assert tuple(images.label(1)[0]) == TRAIN_IDS
    assert images.coding == coding
    (tmp_path / "img/rgb").rename(tmp_path / "img/native")
    larger = open_labelled("synscapes", tmp_path, "train", CS19)
    assert larger.image(0).shape == (9, 12, 3)
    assert larger.label(0).shape == (9, 12)
    with pytest.raises(UdasegError, match="synscapes has no split 'val'"):
        open_images("synscapes", tmp_path, "val")


VIRTUAL_KITTI = [(100, 60, 100), (0, 139, 139), (255, 127, 80), (0, 199, 0), (90, 240, 0), (90, 200, 255), (80, 80, 80)]
VIRTUAL_KITTI_SPACE = class_space(["road", "vegetation", "sky", "car", "truck", "building"])


def virtual_kitti(root, scenes=("Scene01", "Scene20"), variations=("clone", "fog"), *, archives: bool = False):
    for frame in (f"{scene}/{variation}" for scene in scenes for variation in variations):
        rgb, classes, depth = (
            root / (f"vkitti_2.0.3_{kind}" if archives else "") / frame / "frames" / kind
            for kind in ("rgb", "classSegmentation", "depth")
        )
        photo(rgb / "Camera_0/rgb_00000.jpg")
        photo(rgb / "Camera_1/rgb_00000.jpg")
        colours = np.tile(np.array([*VIRTUAL_KITTI, (0, 0, 0)], np.uint8), (6, 1, 1))
        save(classes / "Camera_0/classgt_00000.png", colours)
        save(depth / "Camera_0/depth_00000.png", columns([100, 65535, *range(200, 800, 100)]).astype(np.uint16))
    return root


@pytest.mark.parametrize("archives", [False, True])
def test_virtual_kitti(tmp_path, archives):
    assert detect(virtual_kitti(tmp_path, archives=archives)) == "virtualkitti2"
    images = open_labelled("virtualkitti2", tmp_path, "train", VIRTUAL_KITTI_SPACE)
    stems = [record.stem for record in images.records]
    assert stems == ["Scene01_clone_00000", "Scene01_fog_00000", "Scene20_clone_00000", "Scene20_fog_00000"]
    assert images.label(0)[0].tolist() == [0, 3, 3, 1, 1, 2, 255, 255]
    assert images.depth(3)[0].tolist() == [100, 65535, 200, 300, 400, 500, 600, 700]
    fog = open_labelled("virtualkitti2", tmp_path, "fog", VIRTUAL_KITTI_SPACE)
    assert [record.stem for record in fog.records] == ["Scene01_fog_00000", "Scene20_fog_00000"]
    with pytest.raises(UdasegError, match="the rgb files of Virtual KITTI 2 in <scene>/rain/frames/rgb/Camera_0/"):
        open_images("virtualkitti2", tmp_path, "rain")
    with pytest.raises(UdasegError, match="have no class 'sidewalk'"):
        open_labelled("virtualkitti2", tmp_path, "train", CS19)


def test_virtual_kitti_is_checked_with_its_colours(tmp_path):
    virtual_kitti(tmp_path, ("Scene02",), ("clone",))
    (split,) = check(tmp_path).splits
    assert (split.images, split.labels, split.depth, split.expected) == (1, 1, 1, 21_260)
    assert split.classes["car"] == pytest.approx(2 / 6)


def test_virtual_kitti_with_mixed_colours_raises(tmp_path):
    virtual_kitti(tmp_path, ("Scene02",), ("clone",))
    path = next(tmp_path.rglob("classgt_*.png"))
    save(path, np.full((6, 8, 3), 101, np.uint8))
    images = open_labelled("virtualkitti2", tmp_path, "train", VIRTUAL_KITTI_SPACE)
    with pytest.raises(UdasegError, match=r"classgt_00000\.png: .* found \(101, 101, 101\) in 48 pixels"):
        images.label(0)


def test_virtual_kitti_without_depth(tmp_path):
    virtual_kitti(tmp_path, ("Scene02",), ("clone",))
    next(tmp_path.rglob("depth_*.png")).unlink()
    next(tmp_path.rglob("depth/Camera_0")).rmdir()
    images = open_labelled("virtualkitti2", tmp_path, "clone", VIRTUAL_KITTI_SPACE)
    assert not images.has_depth
    assert "depth: none" in images.notes
