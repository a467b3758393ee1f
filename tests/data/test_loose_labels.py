"""Labels of images that belong to no dataset: matched by name, with the meaning of their ids."""

import numpy as np
import pytest
from PIL import Image

from udaseg.data.datasets.loose_labels import open_loose_labels
from udaseg.data.images.loose import open_loose_images
from udaseg.errors import UdasegError
from udaseg.labels import class_space

SPACE = class_space(["car", "road"])


@pytest.fixture
def place(tmp_path):
    for part, names in (("images", ("a", "b")), ("labels", ("b_gt",))):
        (tmp_path / part).mkdir()
        for name in names:
            pixels = np.full((8, 8, 3) if part == "images" else (8, 8), 13, np.uint8)
            pixels[0] = 0
            Image.fromarray(pixels).save(tmp_path / part / f"{name}.png")
    return tmp_path


def opened(place, coding=None, space=SPACE):
    return open_loose_labels(
        open_loose_images(place / "images"), place / "labels", space, coding, "--labels", "--coding"
    )


def test_ids_are_train_ids_and_images_without_a_label_are_left_out(place):
    labels = opened(place)
    assert [record.stem for record in labels.records] == ["b"]
    assert labels.notes == ("1 of 2 images have a label",)
    assert labels.full_label(0)[:2].tolist() == [[1] * 8, [0] * 8]  # train ids 0 and 13 are road and car


def test_a_classes_yaml_near_them_says_what_they_mean_unless_a_coding_is_named(place):
    (place / "classes.yaml").write_text("names: {0: car, 13: road}\n")
    assert opened(place).full_label(0)[:2].tolist() == [[0] * 8, [1] * 8]
    assert opened(place, "trainids").full_label(0)[:2].tolist() == [[1] * 8, [0] * 8]


def test_a_coding_without_classes_of_the_model_is_an_error(place):
    with pytest.raises(UdasegError, match="no id of the coding trainids is of a class of the model: left, right"):
        opened(place, space=class_space(["left", "right"]))


def test_tags_of_carla_are_read_from_the_red_channel(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    tags = np.zeros((4, 4, 3), np.uint8)
    tags[..., 0], tags[0, :, 0] = 14, 24
    Image.fromarray(tags).save(tmp_path / "labels" / "0.png")
    Image.fromarray(tags).save(tmp_path / "images" / "0.png")
    labels = opened(tmp_path, "carla-0.9.14")
    assert labels.full_label(0)[:2].tolist() == [[1] * 4, [0] * 4]  # a road line, and below it cars
