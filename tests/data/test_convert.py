"""Polygons and masks of labelling tools become a folder dataset."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.data import open_labelled
from udaseg.data.check import check
from udaseg.data.convert.convert import convert
from udaseg.data.convert.regions import draw_circle, draw_polygons, draw_runs
from udaseg.errors import UdasegError
from udaseg.labels import class_space

from .corpora import photo

SIZE = (40, 50)
SPACE = class_space(["background", "road", "car"])
# What pycocotools 2.0.11 writes for the mask of `runs_mask`.
RUNS = (
    "i0>Z3000jL3c0000^OMO3c000F]OO18OI0Oc01]OOc01]OO18OI0Oc01]OOc01]OO18OI0Oc0;00"
    "^OMO3c0000^OMO3c0000^OMO3c0000^OMU300000000000oM"
)


def runs_mask() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[3:20, 7:31] = True
    mask[10:14, 12:20] = False
    mask[25:39, 0:50:3] = True
    return mask


def plain_runs(mask: np.ndarray) -> list[int]:
    flat = np.concatenate([[False], mask.T.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff([0, *edges.tolist(), mask.size]).tolist()


def coco(root: Path, *annotations: dict, name: str = "a.jpg") -> Path:
    photo(root / "images" / "a.jpg", SIZE)
    content = {
        "categories": [{"id": 7, "name": "car"}, {"id": 3, "name": "road"}],
        "images": [{"id": 1, "file_name": name, "height": 40, "width": 50}],
        "annotations": [{"image_id": 1, **entry} for entry in annotations],
    }
    file = root / "annotations" / "instances.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))
    return file


ROAD = {"category_id": 3, "area": 800, "segmentation": [[0, 20, 50, 20, 50, 36, 0, 36]]}
CAR = {"category_id": 7, "area": 60, "segmentation": [[10, 18, 20, 18, 20, 24, 10, 24]]}
EXPECTED = np.zeros(SIZE, np.uint8)
EXPECTED[20:36] = 1
EXPECTED[18:24, 10:20] = 2


@pytest.mark.parametrize("order", [(ROAD, CAR), (CAR, ROAD)])
@pytest.mark.parametrize("name", ["a.jpg", "images/a.jpg", "C:\\work\\a.jpg", "/data/upload/1/a.jpg", "../a.jpg"])
def test_polygons_of_coco_are_drawn_with_the_smaller_one_on_top(tmp_path, order, name):
    result = convert(coco(tmp_path / "coco", *order, name=name), tmp_path / "out", "val")
    assert (result.images, result.classes) == (1, {0: "background", 1: "road", 2: "car"})
    images = open_labelled("folder", tmp_path / "out", "val", SPACE)
    assert np.array_equal(images.label(0), EXPECTED)
    assert images.records[0].image.read_bytes() == (tmp_path / "coco/images/a.jpg").read_bytes()
    assert check(tmp_path / "out").ok


@pytest.mark.parametrize("counts", [RUNS, plain_runs(runs_mask())])
def test_run_length_codes_of_coco(tmp_path, counts):
    file = coco(tmp_path / "coco", {"category_id": 7, "segmentation": {"size": list(SIZE), "counts": counts}})
    convert(file, tmp_path / "out", "train")
    label = open_labelled("folder", tmp_path / "out", "train", SPACE).label(0)
    assert np.array_equal(label == 2, runs_mask())
    with pytest.raises(ValueError, match="for an image of 40x51"):
        draw_runs(counts, (40, 51))


def test_a_second_split_keeps_the_ids_of_the_first(tmp_path):
    convert(coco(tmp_path / "one", ROAD), tmp_path / "out", "train")
    source = tmp_path / "two"
    photo(source / "b.png", SIZE)
    shape = {"label": "bus", "shape_type": "rectangle", "points": [[0, 0], [5, 4]]}
    labelme(source / "b.json", "b.png", shape, {**shape, "label": "car", "points": [[6, 4], [9, 0]]})
    result = convert(source, tmp_path / "out", "val")
    assert result.classes == {0: "background", 1: "road", 2: "car", 3: "bus"}
    label = open_labelled("folder", tmp_path / "out", "val", class_space(["car", "bus"])).label(0)
    assert (label[:4, :5] == 1).all()
    assert (label[:4, 6:9] == 0).all()
    assert (label == 255).sum() == label.size - 20 - 12
    with pytest.raises(UdasegError, match="exists"):
        convert(source, tmp_path / "out", "val")


def test_images_that_were_copied_for_another_split_are_not_found_twice(tmp_path):
    file = coco(tmp_path, ROAD)
    convert(file, tmp_path / "out", "train", images=tmp_path)
    assert convert(file, tmp_path / "out", "val", images=tmp_path).images == 1


def labelme(file: Path, image: str, *shapes: dict) -> None:
    content = {"shapes": shapes, "imagePath": image, "imageHeight": 40, "imageWidth": 50, "imageData": None}
    file.write_text(json.dumps(content))


def test_every_shape_of_labelme(tmp_path):
    photo(tmp_path / "in/a.jpg", SIZE)
    file = io.BytesIO()
    Image.fromarray(np.full((3, 4), 255, np.uint8)).save(file, "PNG")
    mask = base64.b64encode(file.getvalue()).decode()
    shapes = [
        {"label": "road", "points": [[0, 20], [50, 20], [50, 36], [0, 36]]},
        {"label": "car", "shape_type": "rectangle", "points": [[20, 24], [10, 18]]},
        {"label": "road", "shape_type": "circle", "points": [[30, 8], [33, 8]]},
        {"label": "car", "shape_type": "mask", "points": [[40, 2], [43, 4]], "mask": mask},
        {"label": "__ignore__", "shape_type": "polygon", "points": [[0, 0], [4, 0], [4, 4], [0, 4]]},
        {"label": "car", "shape_type": "linestrip", "points": [[0, 0], [4, 0], [4, 4]]},
        {"label": "car", "shape_type": "point", "points": [[0, 0]]},
    ]
    labelme(tmp_path / "in/a.json", "..\\in\\a.jpg", *shapes)
    result = convert(tmp_path / "in", tmp_path / "out", "train")
    assert result.notes[1:] == ["left out: 2 points and lines, which have no area"]
    assert result.classes == {0: "background", 1: "car", 2: "road"}
    expected = EXPECTED.copy()
    expected[draw_circle((30, 8), (33, 8), SIZE)] = 1
    expected[2:5, 40:44] = 2
    expected[:4, :4] = 255
    assert np.array_equal(open_labelled("folder", tmp_path / "out", "train", SPACE).label(0), expected)


def test_a_pixel_belongs_to_the_polygon_around_its_centre():
    assert draw_polygons([[(0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5)]], (4, 4)).sum() == 4
    assert draw_polygons([[(-9, -9), (9, -9), (9, 9), (-9, 9)]], (4, 4)).all()
    assert not draw_polygons([[(9, 9), (12, 9), (12, 12)]], (4, 4)).any()
    two = [[(0, 0), (2, 0), (2, 2), (0, 2)], [(1, 1), (3, 1), (3, 3), (1, 3)]]
    assert draw_polygons(two, (4, 4)).sum() == 7
    assert abs(int(draw_circle((50, 50), (50, 80), (100, 100)).sum()) - np.pi * 900) < 10


def test_sources_that_cannot_be_converted_are_named(tmp_path):
    with pytest.raises(UdasegError, match="there is no file or directory"):
        convert(tmp_path / "none", tmp_path / "out", "train")
    (tmp_path / "in").mkdir()
    with pytest.raises(UdasegError, match="found no JSON file") as error:
        convert(tmp_path / "in", tmp_path / "out", "train")
    assert "needs no conversion" in error.value.hint
    (tmp_path / "in" / "other.json").write_text('{"frames": []}')
    with pytest.raises(UdasegError, match=r"found JSON of another format: .*other\.json"):
        convert(tmp_path / "in", tmp_path / "out", "train")
    file = coco(tmp_path / "coco", ROAD, name="missing.jpg")
    with pytest.raises(UdasegError, match=r"the image missing\.jpg once below .*found none") as error:
        convert(file, tmp_path / "out", "train")
    assert "--images" in error.value.hint
    photo(tmp_path / "elsewhere/missing.jpg", (20, 25))
    with pytest.raises(UdasegError, match="expected an image of 40x50, found 20x25"):
        convert(file, tmp_path / "out", "train", images=tmp_path / "elsewhere")
    assert list((tmp_path / "out").iterdir()) == []
    for damage in ('{"images": [], "annotations": [{}], "categories": []}', "{"):
        file.write_text(damage)
        with pytest.raises(UdasegError, match=r"instances\.json: expected"):
            convert(file, tmp_path / "out", "train")


@pytest.mark.parametrize(
    "shape",
    [
        [[0, 0, 10, 0, 10]],
        [[0, 0, 10, 0, 10, 10, 5]],
        [[float("nan")] * 6],
        ["abcdef"],
        [5],
        {"size": [40, 50], "counts": [2**70]},
        {"size": [40, 50], "counts": "\u00e9"},
        {"counts": [2000]},
    ],
)
def test_a_damaged_region_of_coco_is_shown(tmp_path, shape):
    file = coco(tmp_path / "coco", ROAD, {"category_id": 7, "segmentation": shape})
    if shape == [[0, 0, 10, 0, 10]]:  # too few points for an area
        assert convert(file, tmp_path / "out", "train").notes[1:] == [
            "left out: 1 annotations without polygon or run-length code, such as boxes"
        ]
        return
    with pytest.raises(UdasegError, match=r"instances\.json: expected .*found .*\{") as caught:
        convert(file, tmp_path / "out", "train")
    assert caught.value.hint == "export it again with COCO"
    assert "Error" not in caught.value.message


def test_annotations_that_cannot_be_drawn_are_counted(tmp_path):
    box = {"category_id": 7, "bbox": [0, 0, 9, 9]}
    elsewhere = {**ROAD, "image_id": 9}
    result = convert(coco(tmp_path / "coco", ROAD, box, elsewhere), tmp_path / "out", "train")
    assert result.notes[1:] == [
        "left out: 1 annotations without polygon or run-length code, such as boxes",
        "left out: 1 annotations of images that are not in the file",
    ]
    assert convert(coco(tmp_path / "coco"), tmp_path / "out", "val").notes[1:] == [
        "1 of 1 images have no region: all their pixels are background"
    ]
    with pytest.raises(UdasegError, match="found 1 annotations without either, such as boxes"):
        convert(coco(tmp_path / "boxes", box), tmp_path / "out", "test")


@pytest.mark.parametrize(
    "shape",
    [
        {"label": "a", "shape_type": "circle", "points": [[1, 1]]},
        {"label": "a", "shape_type": "mask", "points": [[0, 0]], "mask": "bm9uZQ=="},
        {"label": "a", "shape_type": "mask", "points": [[0, 0]], "mask": None},
        {"label": "", "points": [[0, 0], [9, 9], [9, 0]]},
        {"label": "a", "points": "none"},
        5,
    ],
)
def test_a_damaged_shape_of_labelme_is_named(tmp_path, shape):
    photo(tmp_path / "in/a.jpg", SIZE)
    labelme(tmp_path / "in/a.json", "a.jpg", shape)
    with pytest.raises(UdasegError, match=r"a\.json: expected .*, found a ") as caught:
        convert(tmp_path / "in", tmp_path / "out", "train")
    assert " object at " not in caught.value.message


def test_images_of_one_name_keep_their_directories_and_one_that_is_named_twice_is_refused(tmp_path):
    for name in ("x/1.jpg", "y/1.jpg", "y/2.jpg"):
        photo(tmp_path / "in" / name, SIZE)
        labelme((tmp_path / "in" / name).with_suffix(".json"), Path(name).name)
    convert(tmp_path / "in", tmp_path / "out", "train")
    assert sorted(path.stem for path in (tmp_path / "out/train/labels").iterdir()) == ["2", "x_1", "y_1"]
    labelme(tmp_path / "in/y/again.json", "2.jpg")
    with pytest.raises(UdasegError, match=r"found several times: y/2"):
        convert(tmp_path / "in", tmp_path / "out", "val")


@pytest.mark.parametrize("split", ["../train", "a/b", ".hidden", ""])
def test_a_split_is_a_name_in_the_directory(tmp_path, split):
    with pytest.raises(UdasegError, match="expected the name of a directory"):
        convert(coco(tmp_path / "coco", ROAD), tmp_path / "out", split)
    assert not (tmp_path / "out").exists()


def test_two_files_of_coco_need_a_name(tmp_path):
    file = coco(tmp_path / "coco", ROAD)
    file.with_name("instances_val.json").write_text(file.read_text())
    with pytest.raises(UdasegError, match=r"expected annotations of one split") as error:
        convert(tmp_path / "coco", tmp_path / "out", "train")
    assert f"udaseg data convert {file}" in error.value.hint
