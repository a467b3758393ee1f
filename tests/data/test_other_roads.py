"""Real datasets of other cameras and countries: KITTI, IDD and WildDash 2."""

import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.datasets.layout import AbsentError
from udaseg.data.datasets.registry import detect
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, class_space

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


IDD_ID_OF = {7: 0, 8: 3, 11: 29, 21: 32, 23: 33, 26: 12, 33: 10, 0: 35}  # ids of Cityscapes to those of IDD
LEVEL_3_OF = {7: 0, 8: 2, 11: 22, 21: 24, 23: 25, 26: 9, 33: 7, 0: 255}


def idd(root, ending: str | None, values=(), suffix: str = "png"):
    for drive in ("0", "201"):  # both number their frames from 0
        for i in range(2):
            photo(root / f"leftImg8bit/val/{drive}/{i:06d}_leftImg8bit.{suffix}", seed=i)
            frame = f"gtFine/val/{drive}/{i:06d}_gtFine"
            if ending is None:
                (root / frame).parent.mkdir(parents=True, exist_ok=True)
                (root / f"{frame}_polygons.json").write_text("{}")
            else:
                label(root / f"{frame}_{ending}.png", values)
    return root


@pytest.mark.parametrize(
    ("ending", "values", "coding"),
    [
        ("labelcsTrainIds", TRAIN_IDS, "trainids"),
        ("labelTrainIds", TRAIN_IDS, "trainids"),
        ("labelcsIds", CITYSCAPES_IDS, "cityscapes"),
        ("labelids", [IDD_ID_OF[i] for i in CITYSCAPES_IDS], "idd"),
    ],
)
def test_idd_in_the_encodings_of_its_devkit(tmp_path, ending, values, coding):
    assert detect(idd(tmp_path, ending, values, "jpg")) == "idd"
    images = open_labelled("idd", tmp_path, "val", CS19)
    assert [record.stem for record in images.records] == ["0_000000", "0_000001", "201_000000", "201_000001"]
    assert all(record.label.parent.name == record.stem.split("_")[0] for record in images.records)
    assert {tuple(images.label(i)[0]) for i in range(4)} == {TRAIN_IDS}
    assert images.coding == coding
    assert images.notes == (f"labels: {ending}",)


def test_idd_in_the_ids_of_its_own_benchmark(tmp_path):
    idd(tmp_path, "labellevel3Ids", [*(LEVEL_3_OF[i] for i in CITYSCAPES_IDS[:7]), 8])
    images = open_labelled("idd", tmp_path, "val", class_space(["road", "car", "bicycle", "autorickshaw"]))
    assert images.label(0)[0].tolist() == [0, 255, 255, 255, 255, 1, 2, 3]
    assert images.coding == "idd-level3"
    with pytest.raises(UdasegError, match="in the coding 'idd-level3' have no class 'terrain', 'train'"):
        open_labelled("idd", tmp_path, "val", CS19)


def test_idd_with_train_ids_beside_its_own_ids_keeps_what_tells_more(tmp_path):
    idd(tmp_path, "labelcsTrainIds", TRAIN_IDS)
    idd(tmp_path, "labelids", (0, 11))
    images = open_labelled("idd", tmp_path, "val", class_space(["road", "autorickshaw"]))
    assert images.label(0)[0].tolist() == [0, 1] * 4


def test_idd_without_drawn_labels_raises_with_the_command_that_draws_them(tmp_path):
    with pytest.raises(UdasegError, match="expected labels in its subfolders") as error:
        open_labelled("idd", idd(tmp_path, None), "val", CS19)
    assert "createLabels.py" in error.value.hint
    with pytest.raises(AbsentError, match="IDD's test split are not public"):
        (tmp_path / "leftImg8bit/val").rename(tmp_path / "leftImg8bit/test")
        open_labelled("idd", tmp_path, "test", CS19)


@pytest.mark.parametrize(
    ("ending", "values", "classes", "coding"),
    [
        ("", (7, 34, 35, 38, 37, 1, 23, 255), (0, 14, 13, 0, 255, 255, 10, 255), "wilddash2"),
        ("_labelIds", (43, 46, 48, 52, 56, 58, 78, 60), (0, 5, 12, 1, 3, 17, 9, 255), "wilddash2"),
        ("_labelIds", CITYSCAPES_IDS, TRAIN_IDS, "wilddash2"),
        ("", TRAIN_IDS, TRAIN_IDS, "trainids"),
    ],
)
def test_wilddash(tmp_path, ending, values, classes, coding):
    for stem in ("aa0000_100000", "zz0001_100000"):
        photo(tmp_path / f"images/{stem}.jpg")
        label(tmp_path / f"labels/{stem}{ending}.png", values)
    assert detect(tmp_path) == "gta5"
    (tmp_path / "panoptic.json").write_text("{}")
    assert detect(tmp_path) == "wilddash2"
    images = open_labelled("wilddash2", tmp_path, "val", CS19)
    assert tuple(images.label(1)[0]) == classes
    assert images.coding == coding
    (tmp_path / "labels").rename(tmp_path / "panoptic")
    with pytest.raises(UdasegError, match="expected the labels of WildDash 2 in labels/") as error:
        open_labelled("wilddash2", tmp_path, "train", CS19)
    assert "pano2sem.py" in error.value.hint
