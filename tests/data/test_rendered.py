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
    assert "depth: none" in images.notes[1]
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
    images = open_labelled("virtualkitti2", tmp_path, "train", VIRTUAL_KITTI_SPACE)
    save(path, np.full((6, 8, 3), 101, np.uint8))
    with pytest.raises(UdasegError, match=r"classgt_00000\.png: .*, on 100.00% of the pixels: \(101, 101, 101\)"):
        images.label(0)


def test_virtual_kitti_without_depth(tmp_path):
    virtual_kitti(tmp_path, ("Scene02",), ("clone",))
    next(tmp_path.rglob("depth_*.png")).unlink()
    next(tmp_path.rglob("depth/Camera_0")).rmdir()
    images = open_labelled("virtualkitti2", tmp_path, "clone", VIRTUAL_KITTI_SPACE)
    assert not images.has_depth
    assert "depth: none" in images.notes


OLD_TAGS = (7, 6, 8, 10, 9, 13, 22, 0)
NEW_TAGS = (1, 24, 2, 14, 9, 11, 10, 0)
CARLA_SPACE = class_space(["road", "sidewalk", "car", "vegetation", "sky", "terrain"])
CARLA_LABELS = [0, 0, 1, 2, 3, 4, 5, 255]


def tags(path, values, container: str):
    """Write a label of CARLA: grey, or ids in red with other values in green, blue and alpha."""
    ids_HW = columns(values).astype(np.uint8)
    if container == "grey":
        return save(path, ids_HW)
    others = [ids_HW * 0 + value for value in ((0, 0, 255) if container == "rgba" else (20, 55))]
    return save(path, np.stack([ids_HW, *others], axis=-1))


@pytest.mark.parametrize("container", ["grey", "rgb", "rgba"])
@pytest.mark.parametrize(("values", "coding"), [(OLD_TAGS, "carla-0.9.10"), (NEW_TAGS, "carla-0.9.14")])
def test_carla_in_both_tag_sets_and_all_containers(tmp_path, values, coding, container):
    for i in range(2):
        photo(tmp_path / f"rgb/{i:06d}.png", seed=i)
        tags(tmp_path / f"semantics/{i:06d}.png", values, container)
    assert detect(tmp_path) == "carla"
    images = open_labelled("carla", tmp_path, "train", CARLA_SPACE)
    assert [record.stem for record in images.records] == ["000000", "000001"]
    assert images.label(1)[0].tolist() == CARLA_LABELS
    assert images.coding == coding
    assert check(tmp_path).ok
    with pytest.raises(UdasegError, match="expected the val images of CARLA in val/rgb/, val/rgb_front/"):
        open_images("carla", tmp_path, "val")


def test_carla_leaderboard_routes_of_several_towns(tmp_path):
    for i, route in enumerate(("Town01/routes_1", "Town02/routes_1")):
        for frame in range(2):
            photo(tmp_path / f"train/{route}/rgb_front/{frame:04d}.jpg", seed=i)
            tags(tmp_path / f"train/{route}/seg_front/{frame:04d}.png", OLD_TAGS, "grey")
    photo(tmp_path / "val/Town05/rgb/0000.jpg")
    tags(tmp_path / "val/Town05/semantics/0000.png", OLD_TAGS, "grey")
    images = open_labelled("carla", tmp_path, "train", CARLA_SPACE)
    assert [record.stem for record in images.records] == [
        f"Town0{town}_routes_1_{frame:04d}" for town in (1, 2) for frame in (0, 1)
    ]
    assert [record.label.parts[-4] for record in images.records] == ["Town01", "Town01", "Town02", "Town02"]
    assert len(open_labelled("carla", tmp_path, "val", CARLA_SPACE)) == 1
    with pytest.raises(UdasegError, match=r"coding 'carla-0\.9\.10' have no class 'rider', 'truck'") as error:
        open_labelled("carla", tmp_path, "train", CS19)
    assert "traffic light" in error.value.hint


def test_carla_with_tags_in_doubt_or_colours_raises(tmp_path):
    photo(tmp_path / "rgb/0.png")
    tags(tmp_path / "semantics/0.png", (9, 9, 10), "rgba")
    with pytest.raises(UdasegError, match="found as much of both: 0 pixels"):
        open_labelled("carla", tmp_path, "train", CARLA_SPACE)
    tags(tmp_path / "semantics/0.png", (1, 1, 128), "rgba")
    with pytest.raises(UdasegError, match=r"expected ids of the coding 'carla-0\.9\.14', found \[128\]"):
        open_labelled("carla", tmp_path, "train", CARLA_SPACE).label(0)
    (tmp_path / "semantics").rename(tmp_path / "semantic")
    assert len(open_labelled("carla", tmp_path, "train", CARLA_SPACE).records) == 1
    (tmp_path / "semantic").rename(tmp_path / "depth")
    with pytest.raises(UdasegError, match="expected labels beside rgb/ in semantics, semantic, seg, found none"):
        open_labelled("carla", tmp_path, "train", CARLA_SPACE)


IDDA_SPACE = class_space(["road", "sidewalk", "car", "vegetation", "sky", "rider"])


@pytest.mark.parametrize("container", ["grey", "rgb", "rgba"])
def test_idda_in_scenarios(tmp_path, container):
    for scenario in ("noon", "rain"):
        photo(tmp_path / f"{scenario}/RGB/1.jpg")
        tags(tmp_path / f"{scenario}/Semantic/1.png", (7, 6, 8, 10, 9, 20, 18, 3), container)
    (tmp_path / "README").mkdir()
    assert detect(tmp_path) == "idda"
    images = open_labelled("idda", tmp_path, "train", IDDA_SPACE)
    assert [record.stem for record in images.records] == ["noon_1", "rain_1"]
    assert images.label(1)[0].tolist() == [0, 0, 1, 2, 3, 4, 5, 255]
    assert detect(tmp_path / "rain") == "idda"
    assert [record.stem for record in open_labelled("idda", tmp_path / "rain", "train", IDDA_SPACE).records] == ["1"]
    assert check(tmp_path / "rain").ok
    with pytest.raises(UdasegError, match="expected the RGB files of IDDA in RGB/, <scenario>/RGB/"):
        open_images("idda", tmp_path / "README", "train")
