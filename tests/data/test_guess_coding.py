"""The coding of labels that nobody described: found where a street speaks for it, refused with a form to fill in."""

import numpy as np
import pytest
import yaml
from PIL import Image

from udaseg.data.guess_coding import guess_coding
from udaseg.errors import UdasegError
from udaseg.labels import SPACES

from .corpora import save, street

COLOURS = dict(zip(SPACES["cs19"].classes, SPACES["cs19"].palette, strict=True))
STREET = ("sky", "building", "road", "car")


def guess(folder, *labels):
    files = {}
    for i, pixels in enumerate(labels):
        files[str(i)] = save(folder / f"{i}.png", pixels)
    return guess_coding(files, folder, folder / "classes.yaml", "source.coding")


def in_colours(colours) -> np.ndarray:
    return np.array(colours, np.uint8)[street(0, 1, 2, 3)]


@pytest.mark.parametrize(
    ("ids", "coding"),
    [
        ((10, 2, 0, 13), "trainids"),
        ((23, 11, 7, 26), "cityscapes"),
        ((1, 2, 3, 8), "synthia"),
        ((27, 17, 13, 55), "mapillary-v1.2"),
        ((61, 27, 21, 108), "mapillary-v2.0"),
    ],
)
def test_ids_are_told_apart_by_where_the_road_and_the_sky_are(tmp_path, ids, coding):
    found = guess(tmp_path, street(*ids), street(*ids)[:, ::-1])
    assert (found.coding, found.others) == (coding, ())
    assert found.text == "road is below and sky is above"


def test_labels_of_one_name_in_two_folders_all_count(tmp_path):
    of_both = [save(tmp_path / f"seq{i}/0.png", street(*ids)) for i, ids in enumerate([(3, 4, 5, 99), (10, 2, 0, 13)])]
    files = {path.parent.name: path for path in of_both}
    with pytest.raises(UdasegError, match=r"the meaning of the label ids is not known: .*99"):
        guess_coding(files, tmp_path, tmp_path / "classes.yaml", "source.coding")


def test_ignored_pixels_and_equal_channels_change_nothing(tmp_path):
    label = street(10, 2, 0, 13)
    label[:, :20] = 255
    assert guess(tmp_path, np.stack([label] * 3, -1)).coding == "trainids"


def test_known_colours_are_enough_and_another_coding_of_them_is_named(tmp_path):
    found = guess(tmp_path, in_colours([COLOURS[name] for name in STREET]))
    assert (found.coding, found.others) == ("trainids", ("cityscapes",))
    assert "cityscapes would fit as well" in found.text
    of_both = [COLOURS["sky"], (111, 74, 0), COLOURS["road"], COLOURS["car"]]  # the second is Cityscapes' "dynamic"
    assert guess(tmp_path / "ids", in_colours(of_both)).coding == "cityscapes"


def test_a_palette_image_is_read_by_its_indices(tmp_path):
    image = Image.fromarray(street(23, 11, 7, 26)).convert("P")
    image.putdata(street(23, 11, 7, 26).reshape(-1).tolist())
    image.putpalette([value for i in range(256) for value in (255 - i, i // 2, i)])
    image.save(tmp_path / "a.png")
    assert guess_coding({"a": tmp_path / "a.png"}, tmp_path, tmp_path / "x", "source.coding").coding == "cityscapes"


@pytest.mark.parametrize(
    "ids",
    [
        (3, 2, 1, 0),  # somebody's own numbers
        (0, 2, 10, 13),  # train ids of a world upside down
        (200, 201, 202, 203),
        (8, 2, 0, 13),  # no sky
    ],
)
def test_ids_that_no_street_speaks_for_are_refused_with_a_form(tmp_path, ids):
    with pytest.raises(UdasegError, match="the meaning of the label ids is not known") as caught:
        guess(tmp_path, street(*ids))
    lines = caught.value.hint.split("\n")
    assert str(tmp_path / "classes.yaml") in lines[0]
    form = yaml.safe_load("\n".join(lines[1:3]))
    assert set(form["names"]) == set(ids)
    assert "--set source.coding=trainids" in lines[3]


def test_unknown_colours_are_refused_with_a_form_that_names_those_of_cityscapes(tmp_path):
    with pytest.raises(UdasegError, match="in 4 colours, whose meaning is not known") as caught:
        guess(tmp_path, in_colours([(70, 130, 180), (1, 2, 3), (128, 64, 128), (0, 0, 142)]))
    form = yaml.safe_load("\n".join(caught.value.hint.split("\n")[1:]))
    assert dict(zip(form["names"], map(tuple, form["palette"]), strict=True)) == {
        name: COLOURS[name] for name in ("road", "sky", "car")
    }
    assert form["ignore"] == [255, [1, 2, 3]]
    with pytest.raises(UdasegError) as caught:
        guess(tmp_path / "others", in_colours([(9, 9, 1), (1, 2, 3), (0, 0, 0), (4, 5, 6)]))
    form = yaml.safe_load("\n".join(caught.value.hint.split("\n")[1:]))
    assert (len(form["names"]), len(form["palette"]), form["ignore"]) == (3, 3, [255, [0, 0, 0]])


def test_smoothed_masks_and_broken_files_are_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    with pytest.raises(UdasegError, match=r"found 1,\d+ colours in 1 labels"):
        guess(tmp_path, noise)
    (tmp_path / "broken.png").write_bytes(b"nonsense")
    with pytest.raises(UdasegError, match=r"broken\.png"):
        guess_coding({"a": tmp_path / "broken.png"}, tmp_path, tmp_path / "x", "source.coding")
