"""Faults in a user's own folders: each is told in one error that names what helps, and nothing is guessed."""

import shutil

import pytest
import yaml

from udaseg.data import open_images, open_labelled
from udaseg.data.check import check
from udaseg.data.datasets.registry import detect
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, class_space

from .corpora import CITYSCAPES_IDS, cityscapes, folder_dataset, gta5, label, photo, synthia

SPACE = class_space(["road", "car"])


def open_folder(root, **options):
    return open_labelled("folder", root, "train", SPACE, **options)


def errors(root, **options):
    return {f.message: f for f in check(root, **options).findings if f.severity == "error"}


@pytest.mark.parametrize(
    ("suffix", "hint"), [("jpg", "export the labels again as PNG"), ("json", "udaseg data convert {}/train/labels")]
)
def test_labels_of_another_kind_are_named_with_what_reads_them(tmp_path, suffix, hint):
    folder_dataset(tmp_path)
    for name in "ab":
        path = tmp_path / f"train/labels/{name}.png"
        path.rename(path.with_suffix(f".{suffix}"))
    with pytest.raises(UdasegError, match=rf"expected labels as PNG, TIFF or BMP, found a\.{suffix}, b") as caught:
        open_folder(tmp_path)
    assert hint.format(tmp_path) in caught.value.hint
    assert caught.value.message in errors(tmp_path)


def test_other_files_beside_the_labels_are_counted(tmp_path):
    folder_dataset(tmp_path)
    (tmp_path / "train/labels/notes.txt").write_text("")
    assert "labels: 1 other files are left out: notes.txt" in open_folder(tmp_path).notes


def test_frames_of_two_sequences_are_no_pair_because_of_their_number(tmp_path):
    folder_dataset(tmp_path, names=("x",))
    photo(tmp_path / "train/images/berlin/7.png")
    label(tmp_path / "train/labels/paris/7.png", (0, 1))
    with pytest.raises(UdasegError, match=r"found none for 1: berlin/7\.png"):
        open_folder(tmp_path)


def test_a_list_does_not_take_a_dot_in_a_name_for_an_ending(tmp_path):
    folder_dataset(tmp_path, names=("frame", "other"))
    (tmp_path / "list.txt").write_text("frame.0001\n")
    with pytest.raises(UdasegError, match=r"found 1 others: frame\.0001"):
        open_images("folder", tmp_path, "train", list_file=tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"names": []}, "1 to 254 different names, found: 0"),
        ({"names": ["road", " "]}, r"empty names \[' '\]"),
        (
            {"names": dict.fromkeys(range(256), "road"), "ignore": [[0, 0, 0]], "palette": [[1, 1, 1]]},
            "an id without a class for the ignored colours, found none",
        ),
    ],
)
def test_every_error_of_the_classes_names_their_file(tmp_path, content, problem):
    folder_dataset(tmp_path, classes=yaml.safe_dump(content))
    with pytest.raises(UdasegError, match=rf"{tmp_path}/classes\.yaml: .*{problem}") as caught:
        open_folder(tmp_path)
    assert "names: [road, car, person]" in caught.value.hint


def test_a_class_that_a_labelmap_lacks_is_told_of_that_file(tmp_path):
    folder_dataset(tmp_path, classes=None)
    (tmp_path / "labelmap.txt").write_text("road:0,0,0::\nbus:0,0,142::\n")
    assert open_folder(tmp_path).warnings == (
        f"no label of {tmp_path} can be car: {tmp_path}/labelmap.txt has no such class",
    )
    (tmp_path / "labelmap.txt").write_text("Road:0,0,0::\nbus:0,0,142::\n")
    with pytest.raises(UdasegError, match=r"labelmap\.txt has no class 'road' of the recipe's space; it has 'Road'"):
        open_folder(tmp_path)


@pytest.mark.parametrize(("write", "space"), [(gta5, "cs19"), (synthia, "syn16")])
def test_one_damaged_label_does_not_hide_the_others(tmp_path, write, space):
    """The encoding is found out from a sample; a file of it that cannot be read is one finding among others."""
    root = write(tmp_path)
    paths = sorted((root / ("labels" if write is gta5 else "GT/LABELS")).iterdir())
    paths[0].write_bytes(b"damaged")
    report = check(root)
    found = {f.message: f.files for f in report.findings if f.severity == "error"}
    assert [len(files) for files in found.values()] == [1]
    assert paths[0].name in found["labels that cannot be read"][0]
    assert report.splits[0].labels == 3
    open_labelled(report.dataset, root, "train", SPACES[space]).label(1)
    for path in paths:
        path.write_bytes(b"damaged")
    assert not check(root).ok


def test_numbers_that_are_times_have_no_gaps(tmp_path):
    for i in (1_600_000_000, 1_700_000_000):
        photo(tmp_path / f"images/{i}.png")
        label(tmp_path / f"labels/{i}.png", CITYSCAPES_IDS)
    assert "2 images of 24966" in {finding.message for finding in check(tmp_path).findings}


def test_an_unlabelled_val_split_is_told_to_add_labels(tmp_path):
    folder_dataset(tmp_path)
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    for path in (tmp_path / "val/labels").iterdir():
        path.unlink()
    assert errors(tmp_path)["images without a label"].hint.startswith("add their labels to val/labels")


def test_a_directory_of_datasets_names_them_whatever_they_are_called(tmp_path):
    cityscapes(tmp_path / "my streets")
    folder_dataset(tmp_path / "own")
    with pytest.raises(UdasegError, match="is not a dataset; it holds my streets, own") as caught:
        detect(tmp_path)
    assert f"`udaseg data check '{tmp_path}/my streets'`" in caught.value.hint


def test_a_wrong_coding_is_one_error_before_anything_is_opened(tmp_path):
    with pytest.raises(UdasegError, match="there is no label coding 'trainid'") as caught:
        check(folder_dataset(tmp_path), coding="trainid")
    assert caught.value.hint.startswith("did you mean 'trainids'?")


def test_a_suffix_that_the_labels_do_not_need_is_left_out(tmp_path):
    with pytest.raises(UdasegError, match=r"end in _mask\.png, found a, b") as caught:
        open_folder(folder_dataset(tmp_path), label_suffix="_mask")
    assert caught.value.hint == "leave out --label-suffix"


@pytest.mark.parametrize(
    ("images", "labels"),
    [("images", "labels"), ("images", "masks"), ("images", "annotations"), ("img_dir", "ann_dir")],
)
def test_splits_may_lie_in_a_folder_of_images_and_one_of_labels(tmp_path, images, labels):
    """As in https://github.com/open-mmlab/mmsegmentation/issues/46 and others."""
    expected = open_folder(folder_dataset(tmp_path / "usual"))
    folder_dataset(tmp_path / "own")
    for folder, name in ((images, "images"), (labels, "labels")):
        (tmp_path / "own" / folder).mkdir(exist_ok=True)
        (tmp_path / "own/train" / name).rename(tmp_path / f"own/{folder}/train")
    (tmp_path / "own/train").rmdir()
    (tmp_path / f"own/{images}/val").mkdir()
    photo(tmp_path / f"own/{images}/val/c.jpg")
    assert detect(tmp_path / "own") == "folder"
    found = open_folder(tmp_path / "own")
    assert [record.stem for record in found.records] == [record.stem for record in expected.records]
    assert (found.label(0) == expected.label(0)).all()
    report = check(tmp_path / "own")
    assert {split.name: (split.images, split.labels) for split in report.splits} == {"train": (2, 2), "val": (1, 0)}
    assert report.ok
    (tmp_path / f"own/{images}/train/a.jpg").unlink()
    with pytest.raises(UdasegError, match=f"own/{images}/train: expected an image for each of 2 labels"):
        open_folder(tmp_path / "own")


def test_images_of_bdd100k_without_those_of_its_segmentation_name_what_is_missing(tmp_path):
    """As in https://github.com/hendrycks/anomaly-seg/issues/14."""
    photo(tmp_path / "images/100k/train/a.jpg")
    label(tmp_path / "labels/sem_seg/masks/train/a.png")
    assert detect(tmp_path) == "bdd100k"
    with pytest.raises(UdasegError, match=r"expected the train images of BDD100K in images/10k/train/") as caught:
        check(tmp_path)
    assert "download the 10K images" in caught.value.hint
