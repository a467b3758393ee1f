"""What stats.json tells the stages that read it."""

import json

import numpy as np
import pytest

from udaseg.errors import UdasegError
from udaseg.statistics.class_counts import read_image_pixels, read_shown

CLASSES = ("road", "car", "bus")


def written(tmp_path, **per_image):
    path = tmp_path / "stats.json"
    pixels = np.sum(list(per_image.values()), axis=0).tolist()
    counts = {"classes": list(CLASSES), "pixels": pixels, "per_image": per_image}
    path.write_text(json.dumps(counts))
    return path


def test_which_classes_each_picture_shows_in_the_order_asked_for(tmp_path):
    path = written(tmp_path, a=[5, 0, 1], b=[0, 0, 0], c=[0, 9, 0])
    shown = read_shown(path, CLASSES, ["c", "a", "b"])
    assert shown.tolist() == [[False, True, False], [True, False, True], [False] * 3]
    assert read_image_pixels(path, CLASSES, ["c", "a"]).tolist() == [[0, 9, 0], [5, 0, 1]]


def test_counts_of_other_pictures_or_classes_are_refused(tmp_path):
    path = written(tmp_path, a=[5, 0, 1], b=[0, 0, 0])
    with pytest.raises(UdasegError, match="does not count 1 of the 2 source images, the first is z"):
        read_shown(path, CLASSES, ["a", "z"])
    with pytest.raises(UdasegError, match="expected the pixel counts of road, car; found those of road, car, bus"):
        read_shown(path, CLASSES[:2], ["a"])
    with pytest.raises(UdasegError, match="no source image shows any class"):
        read_shown(path, CLASSES, ["b"])
    with pytest.raises(UdasegError, match="found no file"):
        read_shown(tmp_path / "none.json", CLASSES, ["a"])
