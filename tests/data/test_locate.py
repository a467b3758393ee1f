"""What a directory is found to be: images alone, labels under other names, and files that are no directory."""

import pytest

from udaseg.data.locate import detect_with_images_alone, find_places
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


def test_a_video_is_answered_with_the_command_that_extracts_its_frames(tmp_path):
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"")
    with pytest.raises(UdasegError, match="expected a directory of images, and that is a video") as error:
        find_places(video)
    assert f"mkdir {tmp_path / 'clip'} && ffmpeg -i {video}" in error.value.hint
