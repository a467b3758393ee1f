"""COCO's panoptic annotations become a folder dataset."""

import json
from pathlib import Path

import numpy as np
import pytest

from udaseg.data import open_labelled
from udaseg.data.convert.convert import convert
from udaseg.errors import UdasegError
from udaseg.labels import class_space

from .corpora import photo, save

SIZE = (6, 8)
SPACE = class_space(["road", "car"])
SEGMENTS = {1: 7, 300: 3, 70_000: 7, 16_777_215: 3}  # ids of segments to ids of classes: 3 is car, 7 road
EXPECTED = np.tile(np.array([255, 0, 1, 0, 1, 255, 255, 255], np.uint8), (6, 1))


def panoptic(root: Path, *, image: str = "a.jpg", mask: str = "a.png", segments=SEGMENTS, ids=(0, *SEGMENTS)) -> Path:
    """Write an image, its PNG of segments in columns, and the JSON file; what is left of the columns is no segment."""
    photo(root / "images" / image, SIZE)
    columns_W = np.array([*ids, *[0] * (SIZE[1] - len(ids))])
    rgb = np.stack([columns_W % 256, columns_W // 256 % 256, columns_W // 65536], axis=-1).astype(np.uint8)
    save(root / "annotations/panoptic_val" / mask, np.tile(rgb, (SIZE[0], 1, 1)))
    listed = [{"id": i, "category_id": category, "iscrowd": 0} for i, category in segments.items()]
    content = {
        "images": [{"id": 5, "file_name": image, "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [{"image_id": 5, "file_name": mask, "segments_info": listed}],
        "categories": [{"id": 7, "name": "road", "isthing": 0}, {"id": 3, "name": "car", "isthing": 1}],
    }
    file = root / "annotations" / "panoptic_val.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("image", ["a.jpg", "a.png"])  # the second has the name of its mask
def test_segments_become_classes(tmp_path, image):
    result = convert(panoptic(tmp_path, image=image), tmp_path / "out", "val")
    assert (result.images, result.classes) == (1, {0: "background", 1: "car", 2: "road"})
    assert result.notes == ["pixels in no segment are ignored"]
    images = open_labelled("folder", tmp_path / "out", "val", SPACE)
    assert np.array_equal(images.label(0), EXPECTED)
    assert images.records[0].image.read_bytes() == (tmp_path / "images" / image).read_bytes()


def test_images_may_lie_elsewhere(tmp_path, monkeypatch):
    file = panoptic(tmp_path, image="a.png")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    convert(file, tmp_path / "out", "val", images=Path(".."))
    assert np.array_equal(open_labelled("folder", tmp_path / "out", "val", SPACE).label(0), EXPECTED)


def test_wrong_masks_give_one_clear_error(tmp_path):
    file = panoptic(tmp_path, segments={1: 7})
    with pytest.raises(UdasegError, match=r"a\.png: expected the segments of the JSON file, found others: 300, 70000"):
        convert(file, tmp_path / "out", "val")
    mask = tmp_path / "annotations/panoptic_val/a.png"
    save(mask, np.zeros((6, 8), np.uint8))
    with pytest.raises(UdasegError, match=r"expected segments as 8-bit RGB of 6x8, found 6x8, 8-bit grey"):
        convert(file, tmp_path / "out", "val")
    save(mask, np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(UdasegError, match=r"expected segments as 8-bit RGB of 6x8, found 3x4, 8-bit RGB"):
        convert(file, tmp_path / "out", "val")
    mask.unlink()
    with pytest.raises(UdasegError, match=r"a\.png: cannot read it"):
        convert(file, tmp_path / "out", "val")
    mask.parent.rename(tmp_path / "masks")
    with pytest.raises(UdasegError, match=r"expected its PNG files of segments in .*panoptic_val") as error:
        convert(file, tmp_path / "out", "val")
    assert "panoptic_val.zip" in error.value.hint
    assert not list((tmp_path / "out").glob("*"))


def test_a_segment_of_no_category_is_a_damaged_entry(tmp_path):
    with pytest.raises(
        UdasegError, match=r"panoptic_val\.json: expected annotations of COCO, found a damaged entry: .*category_id"
    ):
        convert(panoptic(tmp_path, segments={1: 4}), tmp_path / "out", "val")


def test_instances_and_segments_beside_each_other_need_a_name(tmp_path):
    file = panoptic(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"] = []
    file.with_name("instances_val.json").write_text(json.dumps(content))
    with pytest.raises(UdasegError, match="expected annotations of one split"):
        convert(file.parent, tmp_path / "out", "val")
    convert(file, tmp_path / "out", "val")
