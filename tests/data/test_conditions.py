"""Datasets of night, fog, rain and snow: ACDC, Dark Zurich and Foggy Cityscapes."""

import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.datasets.layout import AbsentError
from udaseg.data.datasets.registry import detect
from udaseg.errors import UdasegError
from udaseg.labels import SPACES

from .corpora import CITYSCAPES_IDS, TRAIN_IDS, cityscapes, label, photo

CS19 = SPACES["cs19"]
IDS = {"labelIds": CITYSCAPES_IDS, "labelTrainIds": TRAIN_IDS}
ACDC = {"fog": "GOPR0475", "night": "GOPR0351", "rain": "GP010400", "snow": "GP010122"}


def stems(images) -> list[str]:
    return [record.stem for record in images.records]


def anonymous(root, part: str, sequence: str, endings=("labelIds",), count: int = 2):
    """Write a sequence in the naming of ACDC and Dark Zurich, such as <root>/rgb_anon/<part>/<sequence>/."""
    for i in range(count):
        frame = f"{part}/{sequence}/{sequence}_frame_{i:06d}"
        photo(root / "rgb_anon" / f"{frame}_rgb_anon.png", seed=i)
        for ending in endings:
            label(root / "gt" / f"{frame}_gt_{ending}.png", IDS[ending])
            label(root / "gt" / f"{frame}_gt_labelColor.png", (1, 2, 3))
    return root


def acdc(root, split="train", endings=("labelIds",)):
    for condition, sequence in ACDC.items():
        anonymous(root, f"{condition}/{split}", sequence, endings)
        photo(root / f"rgb_anon/{condition}/{split}_ref/{sequence}/{sequence}_frame_000000_rgb_ref_anon.png")
    return root


@pytest.mark.parametrize("endings", [("labelIds",), ("labelTrainIds",), ("labelIds", "labelTrainIds")])
def test_acdc_in_both_encodings(tmp_path, endings):
    images = open_labelled("acdc", acdc(tmp_path, endings=endings), "train", CS19)
    assert len(images) == 8
    assert stems(images)[0] == "GOPR0351_frame_000000"
    assert {tuple(images.label(i)[0]) for i in range(8)} == {TRAIN_IDS}
    assert images.notes == (f"labels: {endings[0]}",)


def test_a_split_of_acdc_may_be_one_condition(tmp_path):
    acdc(tmp_path)
    night = open_labelled("acdc", tmp_path, "train-night", CS19)
    assert stems(night) == ["GOPR0351_frame_000000", "GOPR0351_frame_000001"]
    assert len(open_images("acdc", tmp_path, "train-fog")) == 2
    with pytest.raises(AbsentError, match="expected the val-rain images of ACDC in rgb_anon/rain/val/"):
        open_images("acdc", tmp_path, "val-rain")
    with pytest.raises(UdasegError, match="acdc has no split 'night'"):
        open_images("acdc", tmp_path, "night")


def test_acdc_with_one_condition_alone(tmp_path):
    anonymous(tmp_path, "snow/val", "GP010122")
    assert detect(tmp_path) == "acdc"
    assert len(open_labelled("acdc", tmp_path, "val", CS19)) == 2


def test_acdc_unpacked_into_directories_of_its_archives(tmp_path):
    acdc(tmp_path)
    for folder, archive in (("rgb_anon", "rgb_anon_trainvaltest"), ("gt", "gt_trainval")):
        (tmp_path / archive).mkdir()
        (tmp_path / folder).rename(tmp_path / archive / folder)
    assert detect(tmp_path) == "acdc"
    assert len(open_labelled("acdc", tmp_path, "train", CS19)) == 8


def test_acdc_without_folders_of_conditions(tmp_path):
    for i in range(2):
        photo(tmp_path / f"rgb_anon/train/GOPR0351_frame_{i:06d}_rgb_anon.png")
        label(tmp_path / f"gt/train/GOPR0351_frame_{i:06d}_gt_labelTrainIds.png", TRAIN_IDS)
    assert detect(tmp_path) == "acdc"
    images = open_labelled("acdc", tmp_path, "train", CS19)
    assert len(images) == 2
    assert tuple(images.label(0)[0]) == TRAIN_IDS
    with pytest.raises(AbsentError):
        open_images("acdc", tmp_path, "train-night")


def test_acdc_has_no_public_labels_of_test(tmp_path):
    acdc(tmp_path, "test", ())
    assert len(open_images("acdc", tmp_path, "test")) == 8
    for split in ("test", "test-fog"):
        with pytest.raises(AbsentError, match="labels of ACDC's test split are not public"):
            open_labelled("acdc", tmp_path, split, CS19)


def test_acdc_labels_of_an_unknown_name_raise_one_error(tmp_path):
    acdc(tmp_path)
    for path in (tmp_path / "gt").rglob("*_labelIds.png"):
        path.unlink()
    with pytest.raises(UdasegError, match=r"\*_gt_labelIds\.png or \*_gt_labelTrainIds\.png; found none") as error:
        open_labelled("acdc", tmp_path, "train", CS19)
    assert "gt_trainval.zip" in error.value.hint


@pytest.mark.parametrize("ending", ["labelIds", "labelTrainIds"])
def test_dark_zurich(tmp_path, ending):
    anonymous(tmp_path, "train/night", "GOPR0351", ())
    anonymous(tmp_path, "train/twilight", "GOPR0348", (), count=3)
    anonymous(tmp_path, "val/night", "GOPR0356", (ending,))
    assert detect(tmp_path) == "darkzurich"
    images = open_labelled("darkzurich", tmp_path, "val", CS19)
    assert stems(images) == ["GOPR0356_frame_000000", "GOPR0356_frame_000001"]
    assert tuple(images.label(1)[0]) == TRAIN_IDS
    assert images.notes == (f"labels: {ending}",)
    assert len(open_images("darkzurich", tmp_path, "train")) == 2
    assert len(open_images("darkzurich", tmp_path, "train-twilight")) == 3
    for split in ("train", "train-twilight"):
        with pytest.raises(AbsentError, match=f"no public labels for {split}"):
            open_labelled("darkzurich", tmp_path, split, CS19)
    with pytest.raises(AbsentError, match="the train-day images of Dark Zurich in rgb_anon/train/day/") as error:
        open_images("darkzurich", tmp_path, "train-day")
    assert "Dark_Zurich_train_anon.zip" in error.value.hint


def test_dark_zurich_unpacked_into_directories_of_its_archives(tmp_path):
    anonymous(tmp_path / "Dark_Zurich_train_anon", "train/night", "GOPR0351", ())
    anonymous(tmp_path / "Dark_Zurich_val_anon", "val/night", "GOPR0356")
    assert detect(tmp_path) == "darkzurich"
    assert len(open_images("darkzurich", tmp_path, "train")) == 2
    assert len(open_labelled("darkzurich", tmp_path, "val", CS19)) == 2


def test_foggy_cityscapes_in_a_renamed_folder(tmp_path):
    cityscapes(tmp_path)
    for path in list((tmp_path / "leftImg8bit").rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}_foggy_beta_0.02.png"))
    assert detect(tmp_path) == "foggycityscapes"
    images = open_labelled("foggycityscapes", tmp_path, "val", CS19)
    assert stems(images)[0] == "aachen_000000_000019"
    assert images.notes[0] == "images: leftImg8bit, beta 0.02"
    assert tuple(images.label(3)[0]) == TRAIN_IDS


@pytest.mark.parametrize("folder", ["leftImg8bit_foggy", "leftImg8bit_foggyDBF"])
@pytest.mark.parametrize("ending", ["labelIds", "labelTrainIds"])
def test_foggy_cityscapes(tmp_path, folder, ending):
    cityscapes(tmp_path, ending=ending)
    for path in (tmp_path / "leftImg8bit").rglob("*.png"):
        for i, beta in enumerate(("0.005", "0.01", "0.02")):
            place = tmp_path / folder / path.parent.relative_to(tmp_path / "leftImg8bit")
            photo(place / f"{path.stem}_foggy_beta_{beta}.png", seed=i)
    assert detect(tmp_path) == "cityscapes"
    (tmp_path / "leftImg8bit").rename(tmp_path / "clear")
    assert detect(tmp_path) == "foggycityscapes"
    images = open_labelled("foggycityscapes", tmp_path, "val", CS19)
    assert stems(images)[0] == "aachen_000000_000019"
    assert images.notes == (f"images: {folder}, beta 0.02", f"labels: gtFine, {ending}")
    assert {record.image.name[-8:] for record in images.records} == {"0.02.png"}
    assert tuple(images.label(3)[0]) == TRAIN_IDS
    light = open_labelled("foggycityscapes", tmp_path, "val-0.005", CS19)
    assert stems(light) == stems(images)
    assert (light.image(0) != images.image(0)).any()
    with pytest.raises(UdasegError, match="foggycityscapes has no split 'val-1'"):
        open_images("foggycityscapes", tmp_path, "val-1")
    (tmp_path / "gtFine").rename(tmp_path / "elsewhere")
    with pytest.raises(AbsentError, match="expected the val labels of Cityscapes in gtFine/val/"):
        open_labelled("foggycityscapes", tmp_path, "val", CS19)
