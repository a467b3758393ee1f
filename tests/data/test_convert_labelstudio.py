"""Exports of Label Studio become a folder dataset."""

import json
from pathlib import Path

import numpy as np
import pytest

from udaseg.data import open_labelled
from udaseg.data.check import check
from udaseg.data.convert.brush import draw_brush
from udaseg.data.convert.convert import convert
from udaseg.errors import UdasegError
from udaseg.labels import class_space

from .corpora import photo

SIZE = (40, 50)
SPACE = class_space(["background", "car", "road"])
SIZES = (3, 4, 8, 16)  # bits of a run's length, as Label Studio writes them


def encode_brush(mask: np.ndarray, *, literals: bool = False) -> list[int]:
    """Encode a mask as Label Studio does: runs of the values of RGBA; with `literals` most values one by one."""
    values = np.repeat(mask.astype(np.uint8) * 255, 4).tolist()
    bits = f"{len(values):032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in SIZES)
    at = 0
    while at < len(values):
        if literals and at % 3:
            part = values[at : at + 8]
            bits += "000" + f"{len(part) - 1:03b}" + "".join(f"{value:08b}" for value in part)
            at += len(part)
            continue
        length = next((i for i in range(len(values) - at) if values[at + i] != values[at]), len(values) - at)
        kind = next((i for i, size in enumerate(SIZES) if length <= 1 << size), 3)
        length = min(length, 1 << SIZES[kind])
        bits += f"1{kind:02b}{length - 1:0{SIZES[kind]}b}{values[at]:08b}"
        at += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def blob() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[3:20, 7:31] = True
    mask[10:14, 12:20] = False
    mask[25:39, 0:50:3] = True
    return mask


def region(kind: str, label: str, **value) -> dict:
    values = {**value, f"{kind}labels": [label]}
    return {"type": f"{kind}labels", "value": values, "original_width": 50, "original_height": 40, "image_rotation": 0}


def brush(mask: np.ndarray, label: str = "car") -> dict:
    return region("brush", label, format="rle", rle=encode_brush(mask))


ROAD = region("polygon", "road", points=[[0, 50], [100, 50], [100, 90], [0, 90]])  # rows 20 to 36
CAR = region("rectangle", "car", x=20, y=45, width=20, height=15, rotation=0)  # rows 18 to 24, columns 10 to 20
EXPECTED = np.zeros(SIZE, np.uint8)
EXPECTED[20:36] = 2
EXPECTED[18:24, 10:20] = 1


def export(root: Path, *annotations, image: str = "/data/upload/1/a.jpg", content=None) -> Path:
    photo(root / "images" / "a.jpg", SIZE)
    content = content or [{"id": 3, "data": {"image": image}, "annotations": list(annotations)}]
    file = root / "project.json"
    file.write_text(json.dumps(content))
    return file


def labels(out: Path) -> np.ndarray:
    return open_labelled("folder", out, "train", SPACE).label(0)


@pytest.mark.parametrize("literals", [False, True])
def test_a_brush_mask_is_what_was_painted(literals):
    assert np.array_equal(draw_brush(encode_brush(blob(), literals=literals), SIZE), blob())
    large = np.zeros((400, 300), bool)
    large[300:, 10:] = True  # runs longer than 65536 values
    assert np.array_equal(draw_brush(encode_brush(large), large.shape), large)


def test_the_code_of_a_public_export():
    # An image of 2527x3332 whose mask begins below its 300th row: the first 20 bytes are those of the export.
    run, count = f"111{65535:016b}{0:08b}", 2527 * 3332 * 4
    rest = count - 65536 * (count // 65536)
    bits = f"{count:032b}{7:05b}" + "0010001101111111" + run * (count // 65536) + f"111{rest - 1:016b}{255:08b}"
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert code[:20] == [2, 1, 233, 240, 57, 27, 255, 255, 255, 0, 255, 255, 224, 31, 255, 252, 3, 255, 255, 128]
    mask = draw_brush(code, (2527, 3332))
    assert mask.sum() == rest // 4
    assert mask.ravel()[-rest // 4 :].all()


def test_shapes_are_drawn_in_their_order(tmp_path):
    result = convert(export(tmp_path / "in", {"result": [ROAD, CAR]}), tmp_path / "out", "train")
    assert (result.images, len(result.notes)) == (1, 1)
    assert result.classes == {0: "background", 1: "car", 2: "road"}
    assert np.array_equal(labels(tmp_path / "out"), EXPECTED)
    assert check(tmp_path / "out").ok
    convert(export(tmp_path / "in", {"result": [CAR, ROAD, brush(blob())]}), tmp_path / "other", "train")
    expected = EXPECTED.copy()
    expected[20:36] = 2
    expected[blob()] = 1
    assert np.array_equal(labels(tmp_path / "other"), expected)


def test_turned_rectangles_and_ellipses(tmp_path):
    # A quarter clockwise about its upper left corner: 10 columns to the right become 10 rows down.
    turned = region("rectangle", "car", x=60, y=25, width=20, height=10, rotation=90)
    round_one = region("ellipse", "road", x=20, y=50, radiusX=10, radiusY=25, rotation=0)
    convert(export(tmp_path / "in", {"result": [turned, round_one]}), tmp_path / "out", "train")
    label = labels(tmp_path / "out")
    assert np.argwhere(label == 1).min(axis=0).tolist() == [10, 26]
    assert np.argwhere(label == 1).max(axis=0).tolist() == [19, 29]
    assert (label == 1).sum() == 40
    assert abs(int((label == 2).sum()) - np.pi * 5 * 10) < 8


def test_the_reduced_export_has_the_same_regions(tmp_path):
    reduced = [{**one["value"], "original_width": 50, "original_height": 40} for one in (ROAD, CAR)]
    entry = {"id": 1, "image": "/data/upload/1/0a1b2c3d-a.jpg", "label": reduced, "annotator": 1, "annotation_id": 7}
    convert(export(tmp_path / "in", content=[entry]), tmp_path / "out", "train")
    assert np.array_equal(labels(tmp_path / "out"), EXPECTED)


def test_a_shape_and_its_label_may_be_two_results(tmp_path):
    shape = {**ROAD, "id": "x", "type": "polygon", "value": {"points": ROAD["value"]["points"]}}
    label = {**shape, "type": "labels", "value": {**shape["value"], "labels": ["road"]}}
    about_the_image = {"id": "y", "type": "choices", "value": {"choices": ["blurred"]}}
    for i, results in enumerate(([shape, label, about_the_image, CAR], [label, shape, CAR])):
        convert(export(tmp_path / "in", {"result": results}), tmp_path / f"{i}", "train")
        assert np.array_equal(labels(tmp_path / f"{i}"), EXPECTED)


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/a.jpg",
        "/data/upload/1/1a2b3c4d-a.jpg",
        "/data/local-files/?d=street/images/a.jpg",
        "s3://bucket/images/a.jpg",
        "https://host/images/a.jpg?token=x",
        "upload/a.jpg",
    ],
)
def test_images_are_found_by_any_address(tmp_path, address):
    convert(export(tmp_path / "in", {"result": [CAR]}, image=address), tmp_path / "out", "train")
    assert labels(tmp_path / "out").any()


def test_an_uploaded_image_that_really_has_such_a_name(tmp_path):
    photo(tmp_path / "in/images/1a2b3c4d-a.jpg", SIZE, seed=1)
    file = export(tmp_path / "in", {"result": [CAR]}, image="/data/upload/1/1a2b3c4d-a.jpg")
    convert(file, tmp_path / "out", "train")
    assert [path.name for path in (tmp_path / "out/train/images").iterdir()] == ["1a2b3c4d-a.jpg"]


def test_what_is_left_out_is_counted(tmp_path):
    point = region("keypoint", "car", x=1, y=1, width=1)
    tasks = [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [CAR, point]}]}]
    tasks += [{"id": 2, "data": {"image": "b.jpg"}, "annotations": []}]
    tasks += [{"id": 3, "data": {"image": "c.jpg"}, "annotations": [{"was_cancelled": True, "result": []}]}]
    result = convert(export(tmp_path / "in", content=tasks), tmp_path / "out", "train")
    assert result.images == 1
    assert result.notes[1:] == [
        "left out: 1 points and lines, which have no area",
        "left out: 2 images that nobody annotated",
    ]
    with pytest.raises(UdasegError, match="expected annotated images, found none"):
        convert(export(tmp_path / "in", content=tasks[1:]), tmp_path / "none", "train")


def test_an_image_without_regions_is_background(tmp_path):
    convert(export(tmp_path / "in", {"result": []}), tmp_path / "out", "train")
    assert not labels(tmp_path / "out").any()


def test_the_ground_truth_decides_among_several_annotations(tmp_path):
    two = {"result": [ROAD]}, {"result": [ROAD, CAR], "ground_truth": True}
    convert(export(tmp_path / "in", *two), tmp_path / "out", "train")
    assert np.array_equal(labels(tmp_path / "out"), EXPECTED)
    with pytest.raises(UdasegError, match=r"project\.json: task 3: expected one annotation of an image, found 2") as e:
        convert(export(tmp_path / "in", {"result": [ROAD]}, {"result": [CAR]}), tmp_path / "other", "train")
    assert "ground truth" in e.value.hint


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({**CAR, "value": {**CAR["value"], "rectanglelabels": []}}, "expected one label for each region, found none"),
        ({**CAR, "value": {**CAR["value"], "rectanglelabels": ["car", "road"]}}, "found car, road for a rectangle"),
        ({**CAR, "image_rotation": 90}, "found one turned by 90 degrees"),
        (region("bitmask", "car", imageDataURL=""), "found bitmask"),
        (
            region("brush", "car", format="rle", rle=encode_brush(blob())[:-9]),
            "cannot draw a brush mask: it ends early",
        ),
        (region("brush", "car", format="rle", rle=[1, 2, 300]), "cannot draw a brush mask"),
        (region("brush", "car", format="rle", rle="abc"), "cannot draw a brush mask: a list of bytes is expected"),
        (brush(np.zeros((4, 4), bool)), "64 values for an image of 40x50, expected 8000"),
        (region("polygon", "car", points=[[1, 2], [3]]), "found a damaged entry"),
        (region("brush", "car", format="rle"), 'found a damaged entry: {"type": "brushlabels", '),
        ({**ROAD, "original_width": 51}, "expected an image of 40x51, found 40x50"),
    ],
)
def test_wrong_entries_give_one_clear_error(tmp_path, result, message):
    with pytest.raises(UdasegError, match="task 3: ") as error:
        convert(export(tmp_path / "in", {"result": [result]}), tmp_path / "out", "train")
    assert message in error.value.message
    assert error.value.hint
    assert not list((tmp_path / "out").glob("*"))


def test_images_are_looked_for_where_the_user_says(tmp_path):
    with pytest.raises(UdasegError, match=r"the image .*b\.jpg once below .*found none") as error:
        convert(export(tmp_path / "in", {"result": [CAR]}, image="/data/upload/b.jpg"), tmp_path / "out", "train")
    assert "--images" in error.value.hint
    with pytest.raises(UdasegError, match="expected the name of one image in each task, found none"):
        convert(export(tmp_path / "in", {"result": [CAR]}, image="/data/upload/b.wav"), tmp_path / "out", "train")


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon"])
def test_a_region_at_no_place_is_a_damaged_entry(tmp_path, kind):
    nowhere = float("nan")
    value = {"polygon": {"points": [[nowhere, 0], [9, 0], [9, 9]]}}.get(
        kind, {"x": nowhere, "y": 5, "width": 5, "height": 5, "radiusX": 5, "radiusY": 5}
    )
    with pytest.raises(UdasegError, match=r"found a damaged entry: .*NaN"):
        convert(export(tmp_path / "in", {"result": [region(kind, "car", **value)]}), tmp_path / "out", "train")
