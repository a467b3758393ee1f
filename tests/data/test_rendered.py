"""Rendered datasets: UrbanSyn, Synscapes, Virtual KITTI 2, CARLA and IDDA."""

import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.check import check
from udaseg.data.datasets.registry import detect
from udaseg.errors import UdasegError
from udaseg.labels import SPACES

from .corpora import CITYSCAPES_IDS, TRAIN_IDS, label, photo

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
