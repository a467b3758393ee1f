import os
from pathlib import Path

import numpy as np
import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.datasets.cityscapes import disparities, read_disparity
from udaseg.data.datasets.registry import DATASETS, detect
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, class_space

from .corpora import (
    CITYSCAPES_IDS,
    SYNTHIA_IDS,
    TRAIN_IDS,
    cityscapes,
    columns,
    folder_dataset,
    gta5,
    label,
    photo,
    png16,
    save,
    synthia,
)

CS19 = SPACES["cs19"]
# Third-party images that may lie beside the checkout and are no part of it.
DATA = Path(__file__).parents[3] / "shared" / "data"
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"


def rows(images, i=0):
    return images.label(i)[0].tolist()


def test_gta5(tmp_path):
    images = open_labelled("gta5", gta5(tmp_path), "train", CS19)
    assert [record.stem for record in images.records] == ["00001", "00002", "00003"]
    assert rows(images) == list(TRAIN_IDS)
    assert images.image(2).shape == (6, 8, 3)
    assert images.coding == "cityscapes"
    assert "label ids" in images.notes[0]
    assert len(open_labelled("gta5", tmp_path, "train", CS19, limit=2)) == 2
    with pytest.raises(UdasegError, match="gta5 has no split 'val'"):
        open_images("gta5", tmp_path, "val")


def test_gta5_labels_of_another_size_are_resized_to_their_image(tmp_path):
    gta5(tmp_path)
    label(tmp_path / "labels/00002.png", size=(12, 16))
    images = open_labelled("gta5", tmp_path, "train", CS19)
    assert any("resized" in note for note in images.notes)
    assert images.label(1).shape == (6, 8)
    assert set(rows(images, 1)) <= set(TRAIN_IDS)


def test_gta5_train_ids_are_detected_by_file_name_or_by_ids(tmp_path):
    for i in range(3):
        photo(tmp_path / f"images/{i}.png")
        label(tmp_path / f"labels/{i}_labelTrainIds.png", TRAIN_IDS)
    by_name = open_labelled("gta5", tmp_path, "train", CS19)
    assert by_name.coding == "trainids"
    assert rows(by_name) == list(TRAIN_IDS)
    for path in (tmp_path / "labels").iterdir():
        path.rename(path.with_name(path.name.replace("_labelTrainIds", "")))
    by_ids = open_labelled("gta5", tmp_path, "train", CS19)
    assert by_ids.coding == "trainids"
    assert rows(by_ids) == list(TRAIN_IDS)


def test_synthia_as_published(tmp_path):
    images = open_labelled("synthia", synthia(tmp_path), "train", SPACES["syn16"])
    assert rows(images) == [0, 1, 2, 8, 9, 12, 15, 255]
    assert images.coding == "synthia"
    assert "16-bit RGB" in images.notes[0]
    assert images.depth(0)[0].tolist() == [100, 200, 300, 400, 500, 600, 700, 800]


@pytest.mark.parametrize(
    ("folder", "ending", "ids", "coding"),
    [
        ("parsed_LABELS", "", SYNTHIA_IDS, "synthia"),
        ("synthia_mapped_to_cityscapes", "", CITYSCAPES_IDS, "cityscapes"),
        ("GT/LABELS", "_labelTrainIds", TRAIN_IDS, "trainids"),
        ("GT/LABELS", "", SYNTHIA_IDS, "synthia"),
        ("GT/LABELS", "", CITYSCAPES_IDS, "cityscapes"),
        ("GT/LABELS", "", TRAIN_IDS, "trainids"),
    ],
)
def test_synthia_in_its_other_encodings(tmp_path, folder, ending, ids, coding):
    for i in range(3):
        photo(tmp_path / f"RGB/{i}.png")
        label(tmp_path / folder / f"{i}{ending}.png", ids)
    images = open_labelled("synthia", tmp_path, "train", SPACES["syn16"])
    assert images.coding == coding
    assert rows(images) == [0, 1, 2, 8, 9, 12, 15, 255]
    assert folder in images.notes[0]
    with pytest.raises(UdasegError, match="there is no depth for it"):
        images.depth(0)


@pytest.mark.parametrize("ids", [(0,), (7, 8, 11), (255,), (40, 41), (0, 4, 5)])
def test_synthia_labels_that_fit_no_encoding_raise(tmp_path, ids):
    photo(tmp_path / "RGB/0.png")
    label(tmp_path / "GT/LABELS/0.png", ids)
    with pytest.raises(UdasegError, match="fit none of its encodings"):
        open_labelled("synthia", tmp_path, "train", SPACES["syn16"])


def test_synthia_labels_that_contradict_their_folder_raise(tmp_path):
    photo(tmp_path / "RGB/0.png")
    label(tmp_path / "synthia_mapped_to_cityscapes/0.png", SYNTHIA_IDS)
    with pytest.raises(UdasegError, match="expected cityscapes ids by its name"):
        open_labelled("synthia", tmp_path, "train", SPACES["syn16"])


@pytest.mark.parametrize("ending", ["labelIds", "labelTrainIds"])
def test_cityscapes(tmp_path, ending):
    images = open_labelled("cityscapes", cityscapes(tmp_path, ending=ending), "val", CS19)
    stems = [record.stem for record in images.records]
    assert stems == ["aachen_000000_000019", "aachen_000001_000019", "bonn_000000_000019", "bonn_000001_000019"]
    assert rows(images) == list(TRAIN_IDS)
    assert ending in images.notes[0]


def test_cityscapes_disparity_in_pixels(tmp_path):
    path = tmp_path / "disparity/train/aachen/aachen_000001_000019_disparity.png"
    save(path, np.array([[0, 1, 257, 32_769]], np.uint16))
    assert list(disparities(tmp_path, "train")) == ["aachen/aachen_000001_000019"]
    assert np.array_equal(read_disparity(path), [[np.nan, 0, 1, 128]], equal_nan=True)


def test_cityscapes_depth_comes_from_disparity_and_camera(tmp_path):
    cityscapes(tmp_path)
    stems = [f"{city}/{city}_{i:06d}_000019" for city in ("aachen", "bonn") for i in range(2)]
    for stem in stems:
        save(tmp_path / f"disparity/val/{stem}_disparity.png", columns([0, 1, 257, 2561]).astype(np.uint16))
    images = open_labelled("cityscapes", tmp_path, "val", CS19)
    assert not images.has_depth
    assert "depth: none; the disparity has no camera/ beside it" in images.notes
    for stem in stems[:3]:
        path = tmp_path / f"camera/val/{stem}_camera.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 1000}}')
    images = open_labelled("cityscapes", tmp_path, "val", CS19)
    assert images.has_depth
    assert images.depth(0)[0, :4].tolist() == [0, 0, 20_000, 2_000]
    with pytest.raises(UdasegError, match=r"bonn_000001_000019_camera\.json: .*found no file") as caught:
        images.depth(3)
    assert "camera_trainvaltest.zip" in caught.value.hint


@pytest.mark.parametrize(
    ("folder", "ids", "coding"),
    [
        ("labels", (13, 15, 17, 30, 27, 55, 52, 65), "mapillary-v1.2"),
        ("v1.2/labels", (24, 2, 17, 30, 27, 55, 52, 65), "mapillary-v1.2"),
        ("v2.0/labels", (21, 24, 27, 64, 61, 108, 105, 123), "mapillary-v2.0"),
    ],
)
@pytest.mark.parametrize(("disk", "split"), [("training", "train"), ("train", "train"), ("validation", "val")])
def test_mapillary(tmp_path, folder, ids, coding, disk, split):
    photo(tmp_path / disk / "images/é 1.jpg")
    label(tmp_path / disk / folder / "é 1.png", ids, palette=True)
    images = open_labelled("mapillary", tmp_path, split, CS19)
    assert images.coding == coding
    assert rows(images) == list(TRAIN_IDS)


def test_mapillary_v2_labels_in_the_folder_of_v1_raise(tmp_path):
    photo(tmp_path / "training/images/a.jpg")
    label(tmp_path / "training/labels/a.png", (21, 123))
    with pytest.raises(UdasegError, match="found ids above 65"):
        open_labelled("mapillary", tmp_path, "train", CS19)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/10k/val/a.jpg", "labels/sem_seg/masks/val/a.png"),
        ("seg/images/val/a.jpg", "seg/labels/val/a_train_id.png"),
    ],
)
def test_bdd100k(tmp_path, images, labels):
    photo(tmp_path / images)
    label(tmp_path / labels, TRAIN_IDS)
    assert rows(open_labelled("bdd100k", tmp_path, "val", CS19)) == list(TRAIN_IDS)
    assert detect(tmp_path) == "bdd100k"


def test_crosscity_mixes_extensions_and_cities(tmp_path):
    for city in ("Rome", "Rio"):
        photo(tmp_path / city / "Images/Train/1.jpg")
        photo(tmp_path / city / "Images/Train/2.png")
        photo(tmp_path / city / "Images/Test/1.jpg")
        label(tmp_path / city / "Labels/Test/1_eval.png")
    rome = open_images("crosscity", tmp_path / "Rome", "train")
    assert [record.image.name for record in rome.records] == ["1.jpg", "2.png"]
    both = open_labelled("crosscity", tmp_path, "val", SPACES["syn13"])
    assert [record.stem for record in both.records] == ["Rio_1", "Rome_1"]
    assert rows(both) == [0, 1, 2, 5, 6, 9, 12, 255]
    with pytest.raises(UdasegError, match="no labels for its train split"):
        open_labelled("crosscity", tmp_path, "train", SPACES["syn13"])


@pytest.mark.parametrize(
    ("classes", "ids", "labels"),
    [
        ("names: [road, car]", (0, 1, 255), [0, 1, 255]),
        ("names: {7: road, 26: car, 27: car}", (7, 26, 27), [0, 1, 1]),
        ("names: [road, car]\nids: {7: road, 26: 1, 9: 255}", (7, 26, 9), [0, 1, 255]),
        ("names: [road, car]\nignore: 5", (0, 1, 5), [0, 1, 255]),
        ("names: {0: road, 255: car}", (0, 255, 0), [0, 1, 0]),
    ],
)
def test_classes_yaml_gives_the_meaning_of_ids(tmp_path, classes, ids, labels):
    images = open_labelled(
        "folder", folder_dataset(tmp_path, classes=classes, ids=ids), "train", class_space(["road", "car"])
    )
    assert rows(images)[:3] == labels
    assert [record.stem for record in images.records] == ["a", "b"]


@pytest.mark.parametrize("count", [2, 3, 7, 13, 40])
def test_folder_datasets_have_any_number_of_classes(tmp_path, count):
    names = [f"class {i}" for i in range(count)]
    folder_dataset(tmp_path, classes=f"names: {names}", ids=range(count))
    values = rows(open_labelled("folder", tmp_path, "train", class_space(names)))
    assert values == list(np.resize(np.arange(count), 8))


def test_folder_datasets_may_lack_classes_of_the_space_and_warn_of_it(tmp_path):
    images = open_labelled(
        "folder", folder_dataset(tmp_path, classes="names: [car, ship]"), "train", class_space(["road", "car"])
    )
    (warning,) = images.warnings
    assert warning == f"no label of {tmp_path} can be road: {tmp_path / 'classes.yaml'} has no such class"
    assert "labels of no class, ignored: ship" in images.notes
    assert rows(images)[:2] == [1, 255]
    with pytest.raises(UdasegError, match="no class 'sky'"):
        open_labelled("folder", tmp_path, "train", class_space(["sky"]))


def test_a_folder_dataset_without_classes_raises_with_both_solutions(tmp_path):
    folder_dataset(tmp_path, classes=None)
    with pytest.raises(UdasegError, match=r"expected a classes\.yaml, found none") as error:
        open_labelled("folder", tmp_path, "train", CS19)
    assert "names: [road, car, person]" in error.value.hint
    assert "coding: trainids" in error.value.hint
    assert rows(open_labelled("folder", tmp_path, "train", CS19, coding="trainids"))[:2] == [0, 1]
    with pytest.raises(UdasegError, match="detects the coding"):
        open_labelled("gta5", gta5(tmp_path / "gta5"), "train", CS19, coding="trainids")


@pytest.mark.parametrize(
    "classes",
    [
        "names: [",
        "[road]",
        "name: [road]",
        "names: road",
        "names: [road, car]\nclasses: 2",
        "names: {-1: road}",
        "names: {256: road}",
        "names: {x: road}",
        "names: [road, car]\nignore: [0]",
        "names: [road, car]\nids: {7: ship}",
        "names: {7: road}\nids: {7: road}",
        "names: [road, car]\npalette: [[0, 0, 0]]",
        "names: [road, car]\npalette: [[0, 0, 0], [0, 0, 256]]",
        "names: []",
        "names: [1, 2]",
    ],
)
def test_an_invalid_classes_file_raises(tmp_path, classes):
    with pytest.raises(UdasegError):
        open_labelled("folder", folder_dataset(tmp_path, classes=classes), "train", class_space(["road", "car"]))


def test_missing_folders_are_reported_with_a_download_hint(tmp_path):
    (tmp_path / "leftImg8bit_trainvaltest.zip").touch()
    for dataset in DATASETS:
        with pytest.raises(UdasegError, match=r"expected .* in .*; found leftImg8bit_trainvaltest\.zip") as error:
            open_images(dataset, tmp_path, "train")
        assert error.value.hint
        with pytest.raises(UdasegError, match="there is no directory"):
            open_images(dataset, tmp_path / "nowhere", "train")
    with pytest.raises(UdasegError, match="there is no dataset 'gta'"):
        open_images("gta", tmp_path, "train")


def test_images_without_a_label_are_listed(tmp_path):
    gta5(tmp_path, count=9)
    for i in range(2, 9):
        (tmp_path / f"labels/{i:05d}.png").unlink()
    with pytest.raises(UdasegError, match=r"none for 7: 00002\.png, .*, 00006\.png and 2 more"):
        open_labelled("gta5", tmp_path, "train", CS19)
    (tmp_path / "images/00002.png").unlink()
    assert len(open_images("gta5", tmp_path, "train")) == 8


def test_missing_depth_is_listed_and_surplus_labels_are_noted(tmp_path):
    synthia(tmp_path)
    (tmp_path / "Depth/Depth/0000001.png").unlink()
    with pytest.raises(UdasegError, match=r"expected a depth map .*: 0000001\.png"):
        open_labelled("synthia", tmp_path, "train", CS19)
    (tmp_path / "RGB/0000001.png").unlink()
    images = open_labelled("synthia", tmp_path, "train", CS19)
    assert images.warnings == (f"1 labels in train of {tmp_path} have no image and are not used",)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("Car", "car"), ("CAR", "car"), ("traffic_light", "traffic light"), ("Traffic-Light", "traffic light")],
)
def test_a_class_in_another_spelling_is_refused(tmp_path, written, expected):
    folder_dataset(tmp_path, classes=f"names: [road, {written}]")
    with pytest.raises(UdasegError, match=f"has no class '{expected}'") as caught:
        open_labelled("folder", tmp_path, "train", class_space(["road", expected]))
    assert f"did you mean '{written}'?" in caught.value.hint
    assert len(open_labelled("folder", tmp_path, "train", class_space(["road", written]))) == 2


def test_a_class_in_another_spelling_than_a_known_coding_is_pointed_at(tmp_path):
    with pytest.raises(UdasegError, match="no class 'CAR'") as caught:
        open_labelled("gta5", gta5(tmp_path), "train", class_space(["road", "CAR"]))
    assert caught.value.hint.startswith("did you mean 'car'?")


def test_images_without_a_label_are_left_out_and_counted_where_that_is_asked_for(tmp_path):
    folder_dataset(tmp_path, names=("a", "b", "c"))
    for name in ("a", "b"):
        (tmp_path / f"train/labels/{name}.png").unlink()
    space = class_space(["road", "car"])
    with pytest.raises(UdasegError, match=r"found none for 2: a\.jpg, b\.jpg"):
        open_labelled("folder", tmp_path, "train", space)
    images = open_labelled("folder", tmp_path, "train", space, skip_unlabelled=True)
    assert [record.stem for record in images.records] == ["c"]
    assert images.warnings == (f"2 of 3 images in train of {tmp_path} have no label and are left out",)
    for path in (tmp_path / "train/labels").iterdir():
        path.unlink()
    with pytest.raises(UdasegError, match="expected a label for each of 3 images"):
        open_labelled("folder", tmp_path, "train", space, skip_unlabelled=True)


def test_two_files_of_one_stem_raise(tmp_path):
    folder_dataset(tmp_path)
    photo(tmp_path / "train/images/a.png")
    with pytest.raises(UdasegError, match=r"expected one file for each stem, found a\.jpg and a\.png"):
        open_images("folder", tmp_path, "train")


def test_an_empty_split_raises(tmp_path):
    (tmp_path / "train/images").mkdir(parents=True)
    with pytest.raises(UdasegError, match="the train split of folder holds no images"):
        open_images("folder", tmp_path, "train")


def test_unusual_file_names_work_and_hidden_files_are_ignored(tmp_path):
    folder_dataset(tmp_path, names=("bild ä 1", "東京.2"))
    (tmp_path / "train/images/._bild ä 1.jpg").write_bytes(b"x")
    images = open_labelled("folder", tmp_path, "train", class_space(["road", "car"]))
    assert [record.stem for record in images.records] == ["bild ä 1", "東京.2"]
    assert rows(images, 1)[:2] == [0, 1]


def test_linked_roots_and_folders_work(tmp_path):
    real = gta5(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.symlink_to(real)
    assert len(open_labelled("gta5", linked, "train", CS19)) == 3
    parts = tmp_path / "parts"
    parts.mkdir()
    for name in ("images", "labels"):
        (parts / name).symlink_to(real / name)
    assert len(open_labelled("gta5", parts, "train", CS19)) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_directory_raises(tmp_path):
    gta5(tmp_path)
    (tmp_path / "images").chmod(0)
    try:
        with pytest.raises(UdasegError, match="images: cannot list the directory"):
            open_images("gta5", tmp_path, "train")
    finally:
        (tmp_path / "images").chmod(0o700)


def test_detect_recognises_every_layout(tmp_path):
    assert detect(gta5(tmp_path / "1")) == "gta5"
    assert detect(synthia(tmp_path / "2")) == "synthia"
    assert detect(cityscapes(tmp_path / "3")) == "cityscapes"
    assert detect(folder_dataset(tmp_path / "4", classes=None)) == "folder"
    photo(tmp_path / "5/training/images/a.jpg")
    assert detect(tmp_path / "5") == "mapillary"
    photo(tmp_path / "6/Rome/Images/Train/a.jpg")
    assert detect(tmp_path / "6") == "crosscity"
    assert detect(tmp_path / "6/Rome") == "crosscity"
    with pytest.raises(UdasegError, match="fits none of the known"):
        detect(tmp_path / "1/images")
    gta5(tmp_path / "2")
    with pytest.raises(UdasegError, match="fits gta5 and synthia"):
        detect(tmp_path / "2")


@pytest.mark.skipif(not DATA.is_dir(), reason="the data is not here")
@pytest.mark.parametrize(("name", "split", "count"), [("airsim", "val", 166), ("camvid", "val", 101)])
def test_real_folders(name, split, count):
    space = class_space(["road", "building", "fence", "pole", "vegetation", "sky", "car"])
    images = open_labelled("folder", DATA / name, split, space, coding="trainids")
    assert len(images) == count
    values = np.unique(np.concatenate([np.unique(images.label(i)) for i in range(0, count, 10)]))
    assert set(values.tolist()) <= {*range(7), 255}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
def test_real_cityscapes():
    images = open_labelled("cityscapes", SAMPLES / "cityscapes", "train", CS19)
    assert len(images) == 3
    shares = np.bincount(images.label(0).ravel(), minlength=256) / 2048 / 1024
    assert shares[0] > 0.2
    sky = images.image(0)[images.label(0) == 10]
    assert sky[:, 2].mean() > 150


def test_png16_depth_of_three_channels_in_a_set(tmp_path):
    synthia(tmp_path, count=1, depth=False)
    cm = columns(range(100, 900, 100)).astype(np.uint16)
    png16(tmp_path / "Depth/0000000.png", np.stack([cm] * 3, axis=-1))
    assert np.array_equal(open_labelled("synthia", tmp_path, "train", CS19).depth(0), cm)
