"""Real datasets of other cameras and countries: KITTI, IDD and WildDash 2."""

import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.datasets.layout import AbsentError
from udaseg.data.datasets.registry import detect
from udaseg.errors import UdasegError
from udaseg.labels import SPACES

from .corpora import CITYSCAPES_IDS, TRAIN_IDS, label, photo

CS19 = SPACES["cs19"]


def test_kitti(tmp_path):
    for i in range(2):
        photo(tmp_path / f"training/image_2/{i:06d}_10.png", seed=i)
        label(tmp_path / f"training/semantic/{i:06d}_10.png", CITYSCAPES_IDS)
    photo(tmp_path / "testing/image_2/000000_10.png")
    assert detect(tmp_path) == "kitti"
    images = open_labelled("kitti", tmp_path, "train", CS19)
    assert [record.stem for record in images.records] == ["000000_10", "000001_10"]
    assert tuple(images.label(1)[0]) == TRAIN_IDS
    assert len(open_labelled("kitti", tmp_path, "val", CS19)) == 2
    assert len(open_images("kitti", tmp_path, "test")) == 1
    with pytest.raises(AbsentError, match="KITTI's test split are not public"):
        open_labelled("kitti", tmp_path, "test", CS19)
    (tmp_path / "training/semantic").rename(tmp_path / "training/semantic_rgb")
    with pytest.raises(UdasegError, match="expected the labels of KITTI in training/semantic/") as error:
        open_labelled("kitti", tmp_path, "train", CS19)
    assert "data_semantics.zip" in error.value.hint
