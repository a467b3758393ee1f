"""Label files of other tools are matched with images, however they are called."""

import numpy as np
import pytest

from udaseg.data.datasets.label_folder import match_label_files
from udaseg.errors import UdasegError

from .corpora import label, photo, save

STEMS = ["a_000001", "b_000001", "seq1_000000", "seq2_000000"]


def match(folder, stems=STEMS, suffix=None):
    return match_label_files(folder, stems, suffix, "--label-suffix")


def names(found, folder):
    return {stem: path.relative_to(folder).as_posix() for stem, path in found.files.items()}


def test_a_part_of_the_images_in_sub_folders(tmp_path):
    paths = ("b_000001.png", "bonn/a_000001.png", "seq2/000000.tif", "c_000001.png")
    for path in paths:
        label(tmp_path / path)
    found = match(tmp_path)
    assert names(found, tmp_path) == {
        "a_000001": "bonn/a_000001.png", "b_000001": "b_000001.png", "seq2_000000": "seq2/000000.tif"
    }  # fmt: skip
    assert list(found.files) == ["a_000001", "b_000001", "seq2_000000"]  # in the order of the images
    assert (found.suffix, found.surplus, found.others) == ("", 1, ())


@pytest.mark.parametrize("suffix", ["_pred", "_leftImg8bit", ".jpg", "-labels.v2"])
@pytest.mark.parametrize("given", [False, True])
def test_the_one_suffix_of_all_is_found(tmp_path, suffix, given):
    for path in ("a_000001", "aachen/b_000001", "seq1/000000", "of_no_image"):
        label(tmp_path / f"{path}{suffix}.png")
    found = match(tmp_path, suffix=suffix if given else None)
    assert sorted(found.files) == ["a_000001", "b_000001", "seq1_000000"]
    assert found.suffix == suffix
    assert found.surplus == 1


def test_of_several_suffixes_one_has_to_be_named(tmp_path):
    for stem in STEMS[:2]:
        label(tmp_path / f"{stem}_ids.png")
        photo(tmp_path / f"{stem}_color.png")
    found = match(tmp_path)
    assert found.files == {}
    assert found.hint == ("name what the label names add to the image names: --label-suffix=_ids (others add _color)")
    assert names(match(tmp_path, suffix="_ids"), tmp_path) == {stem: f"{stem}_ids.png" for stem in STEMS[:2]}
    assert match(tmp_path, suffix="_mask").files == {}


def test_files_called_as_images_come_first(tmp_path):
    for stem in STEMS[:2]:
        label(tmp_path / f"{stem}.png")
        photo(tmp_path / f"{stem}_color.png")
    found = match(tmp_path)
    assert names(found, tmp_path) == {stem: f"{stem}.png" for stem in STEMS[:2]}
    assert found.surplus == 2


def test_photographs_are_no_labels_and_two_of_one_name_are_an_error(tmp_path):
    save(tmp_path / "a_000001.jpg", np.zeros((6, 8), np.uint8))
    found = match(tmp_path)
    assert (found.files, found.others, found.hint) == ({}, ("a_000001.jpg",), None)
    label(tmp_path / "a_000001.png")
    label(tmp_path / "a_000001.tif")
    with pytest.raises(UdasegError, match="expected one file for each stem"):
        match(tmp_path)
