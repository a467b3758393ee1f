"""What a directory is found to be: images alone, labels under other names, and files that are no directory."""

import subprocess

import pytest

from udaseg.data.locate import detect_with_images_alone, find_places, labelled_target_error, unlabelled_error
from udaseg.data.survey import survey_source, survey_target
from udaseg.errors import UdasegError

from .corpora import photo, save, street


def test_a_folder_of_images_alone_is_a_folder_dataset(tmp_path):
    photo(tmp_path / "monday/0.jpg", (48, 96))
    assert detect_with_images_alone(tmp_path) == "folder"


def test_images_with_labels_under_another_name_are_no_images_alone(tmp_path):
    photo(tmp_path / "rgb/0.jpg", (48, 96))
    save(tmp_path / "sem/0.png", street(10, 2, 0, 13, (48, 96)))
    with pytest.raises(UdasegError, match="the files in sem/ look like labels") as error:
        detect_with_images_alone(tmp_path)
    assert error.value.hint == f"name the folder of the images: {tmp_path / 'rgb'}"


@pytest.mark.parametrize(("images", "labels"), [("rgb", "labels"), ("frames", "masks"), ("train/rgb", "train/labels")])
def test_labels_beside_images_of_another_name_are_answered_with_links_that_make_it_a_source(tmp_path, images, labels):
    root = tmp_path / "my data"
    photo(root / images / "0.png", (48, 96))
    save(root / labels / "0.png", street(10, 2, 0, 13, (48, 96)))
    with pytest.raises(UdasegError, match=f"the files in {labels}/ look like labels") as error:
        survey_source(root, None, None)
    subprocess.run(error.value.hint.partition(": ")[2], shell=True, check=True)
    assert survey_source(root, None, None).labels.coding == "trainids"


def test_a_target_with_labels_is_answered_with_the_folder_of_its_images(tmp_path):
    photo(tmp_path / "train/rgb/0.png", (48, 96))
    save(tmp_path / "train/labels/0.png", street(10, 2, 0, 13, (48, 96)))
    assert find_places(tmp_path) == []
    assert labelled_target_error(tmp_path).hint == f"name the folder of the images: {tmp_path / 'train/rgb'}"
    (tmp_path / "train/labels/0.png").unlink()
    assert "found train" in labelled_target_error(tmp_path).message


def test_images_and_labels_in_one_folder_are_moved_apart_by_their_suffixes(tmp_path):
    root = tmp_path / "my data"
    for name in ("0.jpeg", "1.JPG"):
        photo(root / name, (48, 96))
    for name in ("0.png", "1.png"):
        save(root / name, street(10, 2, 0, 13, (48, 96)))
    error = unlabelled_error(root)
    subprocess.run(error.hint.partition(": ")[2], shell=True, check=True)
    assert sorted(path.name for path in (root / "images").iterdir()) == ["0.jpeg", "1.JPG"]
    assert sorted(path.name for path in (root / "labels").iterdir()) == ["0.png", "1.png"]


def test_a_broken_target_names_a_command_that_can_be_pasted(tmp_path):
    root = tmp_path / "my data"
    photo(root / "0.png", (48, 96)).write_bytes(b"nonsense")
    (place,) = find_places(root)
    with pytest.raises(UdasegError, match="1 cannot be read") as error:
        survey_target(place)
    assert f"`udaseg data check '{root}' --dataset folder` finds all of them" in error.value.hint


def test_a_video_is_answered_with_the_command_that_extracts_its_frames(tmp_path):
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"")
    with pytest.raises(UdasegError, match="expected a directory of images, and that is a video") as error:
        find_places(video)
    assert f"mkdir {tmp_path / 'clip'} && ffmpeg -i {video}" in error.value.hint
