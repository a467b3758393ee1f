"""File names as people have them: frames numbered anew in each sequence, accents, other bytes, masks of other names."""

import os
import unicodedata

import numpy as np
import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.check import check
from udaseg.data.datasets.cityscapes import read_distance
from udaseg.data.images.loose import open_loose_images
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, class_space

from .corpora import columns, folder_dataset, label, photo, save

CS19 = SPACES["cs19"]
SPACE = class_space(["road", "car"])


def open_folder(root, **options):
    return open_labelled("folder", root, "train", SPACE, **options)


def stems(images):
    return [record.stem for record in images.records]


def findings(root, severity, **options):
    return {f.message: f for f in check(root, **options).findings if f.severity == severity}


def sequences(root, *cities):
    """Write the layout of Cityscapes with cities that all number their frames from 0; labels tell them apart."""
    for city, value in zip(cities, (7, 26), strict=False):
        for i in range(2):
            photo(root / f"leftImg8bit/val/{city}/{i:06d}_leftImg8bit.png", seed=value + i)
            label(root / f"gtFine/val/{city}/{i:06d}_gtFine_labelIds.png", (value,))
            path = root / f"disparity/val/{city}/{i:06d}_disparity.png"
            save(path, columns([1 + 256 * value]).astype(np.uint16))
            camera = root / f"camera/val/{city}/{i:06d}_camera.json"
            camera.parent.mkdir(parents=True, exist_ok=True)
            camera.write_text('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 1000}}')
    return root


def test_cities_that_number_their_frames_alike_keep_all_images_with_their_labels_and_depth(tmp_path):
    images = open_labelled("cityscapes", sequences(tmp_path, "a", "b/c"), "val", CS19)
    assert stems(images) == ["a_000000", "a_000001", "b_c_000000", "b_c_000001"]
    assert [images.label(i)[0, 0] for i in range(4)] == [0, 0, 13, 13]
    assert [images.depth(i)[0, 0] for i in (0, 2)] == [round(20_000 / 7), round(20_000 / 26)]
    assert read_distance(images.records[2].depth)[0, 0] == round(20_000 / 26)
    assert len(open_images("cityscapes", tmp_path, "val")) == 4
    report = check(tmp_path)
    assert [(split.images, split.labels, split.depth) for split in report.splits] == [(4, 4, 4)]
    note = findings(tmp_path, "note")["4 images share a file name, and are named after their folder too"]
    assert note.files == ("a_000000", "a_000001", "b_c_000000", "b_c_000001")


def test_only_images_that_share_a_name_get_that_of_their_folder(tmp_path):
    sequences(tmp_path, "a", "b")
    photo(tmp_path / "leftImg8bit/val/b/000009_leftImg8bit.png")
    assert stems(open_images("cityscapes", tmp_path, "val"))[0] == "000009"


def test_two_images_of_one_stem_are_refused_and_both_are_named(tmp_path):
    for name in ("a_b/c", "a/b_c", "x/c", "x/b_c"):
        photo(tmp_path / f"train/images/{name}.png")
    with pytest.raises(UdasegError, match=r"found a_b_c of .*a/b_c\.png and .*a_b/c\.png"):
        open_images("folder", tmp_path, "train")
    with pytest.raises(UdasegError, match="found a_b_c of"):
        open_loose_images(tmp_path / "train/images")
    assert not check(tmp_path, "folder").ok


def test_a_folder_dataset_has_sub_folders_with_labels_in_the_same_ones_or_in_none(tmp_path):
    folder_dataset(tmp_path, names=("00", "seq1/00", "seq2/00", "seq2/x"))
    label(tmp_path / "train/labels/seq2/00.png", (1,))
    (tmp_path / "train/labels/seq2/x.png").rename(tmp_path / "train/labels/x.png")
    images = open_folder(tmp_path)
    assert stems(images) == ["00", "seq1_00", "seq2_00", "x"]
    assert [images.label(i)[0, :2].tolist() for i in range(4)] == [[0, 1], [0, 1], [1, 1], [0, 1]]
    assert findings(tmp_path, "note")["3 images in sub-folders"].files == ("seq1/ (1)", "seq2/ (2)")
    (tmp_path / "train/labels/seq2/00.png").rename(tmp_path / "train/labels/seq2_00.png")  # as `apply` names it
    assert open_folder(tmp_path).label(2)[0, 0] == 1
    (tmp_path / "train/labels/seq1/00.png").unlink()
    with pytest.raises(UdasegError, match=r"found none for 1: seq1/00\.jpg"):
        open_folder(tmp_path)


@pytest.mark.parametrize("line", ["seq1/00", "images/seq1/00.jpg", "seq1_00", "/data/train/images/seq1/00.jpg 1"])
def test_a_list_tells_images_of_one_name_by_their_folders(tmp_path, line):
    folder_dataset(tmp_path, names=("00", "seq1/00", "seq2/00", "seq2/01"))
    path = tmp_path / "list.txt"
    path.write_text(line)
    assert stems(open_folder(tmp_path, list_file=path)) == ["seq1_00"]
    path.write_text("00")
    assert stems(open_folder(tmp_path, list_file=path)) == ["00"]
    (tmp_path / "train/images/00.jpg").unlink()
    with pytest.raises(UdasegError, match=r"expected one image for 00, found .*seq1/00\.jpg, .*seq2/00\.jpg") as caught:
        open_images("folder", tmp_path, "train", list_file=path)
    assert caught.value.hint.endswith("such as seq1_00")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_that_begins_with_a_byte_order_mark_is_read(tmp_path, encoding):
    folder_dataset(tmp_path, names=("é", "b"))
    (tmp_path / "list.txt").write_text("é.jpg\r\n", encoding=encoding)
    assert stems(open_folder(tmp_path, list_file=tmp_path / "list.txt")) == ["é"]


def test_accents_stored_in_two_ways_are_the_same_name(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Straße é") for form in ("NFC", "NFD"))
    folder_dataset(tmp_path)
    photo(tmp_path / f"train/images/{decomposed}.jpg")
    label(tmp_path / f"train/labels/{composed}.png", (1,))
    (tmp_path / "list.txt").write_text(composed)
    images = open_folder(tmp_path, list_file=tmp_path / "list.txt")
    assert stems(images) == [decomposed]
    assert images.label(0)[0, 0] == 1
    assert check(tmp_path).ok


@pytest.mark.parametrize(
    ("image", "other", "shown"),
    [("a\u200b", "a", r"'a\u200b.jpg', where the other is 'a.png'"), ("\u0430b", "ab", r"'\u0430b.jpg', where")],
)
def test_names_that_look_alike_are_shown_with_their_code_points(tmp_path, image, other, shown):
    folder_dataset(tmp_path, names=("x",))
    photo(tmp_path / f"train/images/{image}.jpg")
    label(tmp_path / f"train/labels/{other}.png", (0, 1))
    with pytest.raises(UdasegError) as caught:
        open_folder(tmp_path)
    assert shown in caught.value.message
    assert shown in findings(tmp_path, "error")["images without a label"].files[0]
    (tmp_path / "list.txt").write_text(other)
    with pytest.raises(UdasegError, match="where the other is"):
        open_folder(tmp_path, list_file=tmp_path / "list.txt")


def test_stems_are_safe_file_names_whatever_the_bytes_of_the_file_name(tmp_path):
    long = "街" * 80
    names = ["a\nb", "back\\slash", os.fsdecode(b"stra\xdfe"), f"0{long}", f"1{long}"]
    folder_dataset(tmp_path, names=names)
    found = stems(open_folder(tmp_path))
    assert {"a%0Ab", "back%5Cslash", "stra%DFe"} < set(found)
    assert found[0][:20] == f"0{long}"[:20]
    assert len(set(found)) == 5
    assert all(len(stem.encode()) <= 200 for stem in found)
    assert found[:2] == stems(open_folder(folder_dataset(tmp_path / "again", names=names)))[:2]


@pytest.mark.parametrize(
    ("suffix", "others"),
    [("_mask", ()), (".jpg", ()), ("_gt_labelTrainIds", ("_gt_color",)), ("_labelIds", ("_color", "_instanceIds"))],
)
def test_labels_whose_names_add_something(tmp_path, suffix, others):
    names = ("a", "a_1", "seq/b.c")
    folder_dataset(tmp_path, names=names)
    for name in names:
        path = tmp_path / f"train/labels/{name}.png"
        path.rename(path.with_name(f"{path.stem}{suffix}.png"))
        for other in others:
            photo(path.with_name(f"{path.stem}{other}.png"))
    option = {}
    if others:
        with pytest.raises(UdasegError, match="expected a label for each of 3 images") as caught:
            open_folder(tmp_path, suffix_option="--set source.labels.suffix")
        assert f"--set source.labels.suffix={suffix} (others add {others[0]}" in caught.value.hint
        assert f"--label-suffix={suffix}" in findings(tmp_path, "error")["images without a label"].hint
        option = {"label_suffix": suffix}
    images = open_folder(tmp_path, **option)
    assert stems(images) == ["a", "a_1", "b.c"]
    assert images.label(1)[0, :2].tolist() == [0, 1]
    assert f"labels: the names add {suffix} to those of the images" in images.notes
    assert check(tmp_path, **option).ok


def test_a_suffix_that_no_label_has_is_corrected(tmp_path):
    folder_dataset(tmp_path)
    for name in "ab":
        (tmp_path / f"train/labels/{name}.png").rename(tmp_path / f"train/labels/{name}_mask.png")
    with pytest.raises(UdasegError, match=r"end in _mask\.png\.png, found a_mask, b_mask") as caught:
        open_folder(tmp_path, label_suffix="_mask.png", suffix_option="--set target.labels.suffix")
    assert caught.value.hint.endswith("--set target.labels.suffix=_mask")
    with pytest.raises(UdasegError, match="gta5 knows the names of its labels"):
        open_labelled("gta5", tmp_path, "train", CS19, label_suffix="_mask")


def test_no_two_images_share_a_label_and_no_suffix_is_made_of_another_name(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    folder_dataset(tmp_path, names=("a", "a_1", composed))
    photo(tmp_path / f"train/images/{decomposed}.jpg")
    with pytest.raises(UdasegError, match="found none for 1: ") as caught:
        open_folder(tmp_path)
    assert "suffix" not in caught.value.hint


def test_a_label_of_another_image_is_no_suffix(tmp_path):
    folder_dataset(tmp_path, names=("1", "2"))
    for name in "12":
        (tmp_path / f"train/labels/{name}.png").rename(tmp_path / f"train/labels/{name}0.png")
    with pytest.raises(UdasegError, match="expected a label for each of 2 images") as caught:
        open_folder(tmp_path)
    assert "suffix" not in caught.value.hint


@pytest.mark.parametrize("dataset", ["gta5", "cityscapes", "crosscity"])
def test_files_that_are_left_out_are_counted_and_named(tmp_path, dataset):
    folder = {"gta5": "images", "cityscapes": "leftImg8bit/train", "crosscity": "Rome/Images/Train"}[dataset]
    stem = "a_leftImg8bit" if dataset == "cityscapes" else "a"
    photo(tmp_path / folder / f"{stem}.png")
    for name in ("b.heic", "deep/notes.txt", ".hidden"):
        (tmp_path / folder / name).parent.mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text("")
    images = open_images(dataset, tmp_path, "train")
    prefix = f"{folder}/" if dataset == "crosscity" else ""
    assert images.left_out == (f"{prefix}b.heic", f"{prefix}deep/notes.txt")
    warning = findings(tmp_path, "warning", dataset=dataset)["2 files beside the images are left out"]
    assert warning.files == images.left_out
    (tmp_path / folder / f"{stem}.png").unlink()
    with pytest.raises(UdasegError, match=r"holds no images; 2 files are left out: .*b\.heic"):
        open_images(dataset, tmp_path, "train")


NAMED_ALIKE = {  # patterns of an image and its label in two folders, and the stems
    "acdc": ("rgb_anon/{}/train/s/0_rgb_anon.png", "gt/{}/train/s/0_gt_labelIds.png", ("fog", "night"), "{}_s_0"),
    "darkzurich": ("rgb_anon/val/night/{}/0_rgb_anon.png", "gt/val/night/{}/0_gt_labelIds.png", ("a", "b"), "{}_0"),
    "foggycityscapes": (
        "leftImg8bit_foggy/val/{}/0_leftImg8bit_foggy_beta_0.02.png",
        "gtFine/val/{}/0_gtFine_labelIds.png",
        ("a", "b"),
        "{}_0",
    ),
    "idd": ("leftImg8bit/val/{}/0_leftImg8bit.jpg", "gtFine/val/{}/0_gtFine_labelcsIds.png", ("1", "2"), "{}_0"),
}


@pytest.mark.parametrize("dataset", list(NAMED_ALIKE))
def test_images_of_one_name_in_several_folders_keep_their_own_labels(tmp_path, dataset):
    image, truth, folders, stem = NAMED_ALIKE[dataset]
    for folder, value in zip(folders, (7, 26), strict=True):
        path = photo(tmp_path / image.format(folder), seed=value)
        label(tmp_path / truth.format(folder), (value,))
        path.with_name("b.heic").write_text("")
    images = open_labelled(dataset, tmp_path, "train" if dataset == "acdc" else "val", CS19)
    assert stems(images) == [stem.format(folder) for folder in folders]
    assert [images.label(i)[0, 0] for i in range(2)] == [0, 13]
    assert len(images.left_out) == 2
    assert all(name.endswith("/b.heic") for name in images.left_out)


def test_the_other_densities_of_fog_are_not_told_as_left_out(tmp_path):
    for beta in ("0.005", "0.01", "0.02"):
        photo(tmp_path / f"leftImg8bit_foggy/val/a/0_leftImg8bit_foggy_beta_{beta}.png")
    (tmp_path / "leftImg8bit_foggy/val/a/notes.txt").write_text("")
    assert open_images("foggycityscapes", tmp_path, "val-0.01").left_out == ("a/notes.txt",)


@pytest.mark.parametrize(
    ("dataset", "image", "stem"),
    [
        ("carla", "Town01/rgb/0.png", "Town01_0"),
        ("idda", "noon/RGB/0.jpg", "noon_0"),
        ("urbansyn", "rgb/rgb_0.png", "0"),
        ("virtualkitti2", "Scene01/clone/frames/rgb/Camera_0/rgb_0.jpg", "Scene01_clone_0"),
    ],
)
def test_what_rendered_datasets_leave_out_is_named(tmp_path, dataset, image, stem):
    path = photo(tmp_path / image)
    (tmp_path / "noon/Semantic").mkdir(parents=True)
    for name in ("rgb_0.heic", "deep/0.png"):
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_text("")
    images = open_images(dataset, tmp_path, "train")
    assert stems(images) == [stem]
    below = "" if dataset == "urbansyn" else f"{path.parent.relative_to(tmp_path).as_posix()}/"
    assert images.left_out == (f"{below}deep/0.png", f"{below}rgb_0.heic")


def test_labels_with_a_suffix_may_be_in_colours_and_in_other_containers(tmp_path):
    folder_dataset(tmp_path)
    (tmp_path / "classes.yaml").write_text("names: [road, car]\npalette: [[128, 64, 128], [0, 0, 142]]\n")
    for name in "ab":
        (tmp_path / f"train/labels/{name}.png").unlink()
        colours = np.tile(np.array([(128, 64, 128), (0, 0, 142)], np.uint8), (6, 4, 1))
        save(tmp_path / f"train/labels/{name}_mask.png", colours)
    images = open_folder(tmp_path)
    assert images.label(0)[0, :2].tolist() == [0, 1]
    assert {"label files: one colour for each class", "labels: the names add _mask to those of the images"} <= set(
        images.notes
    )
    (tmp_path / "train/labels/b_mask.png").unlink()
    assert open_folder(tmp_path, skip_unlabelled=True).warnings == (
        f"1 of 2 images in train of {tmp_path} have no label and are left out",
    )
    assert {split.labels for split in check(tmp_path, use="target").splits} == {1}
