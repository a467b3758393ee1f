import json
import shutil

import numpy as np
import pytest
from PIL import Image

from udaseg.data import open_labelled
from udaseg.data.check import check
from udaseg.errors import UdasegError
from udaseg.labels import SPACES, class_space
from udaseg.statistics.class_counts import class_counts

from .corpora import CITYSCAPES_IDS, cityscapes, columns, folder_dataset, gta5, label, photo, save, synthia


def found(report, severity=None):
    return {f.message: f.files for f in report.findings if severity in (None, f.severity)}


def test_a_complete_dataset_has_no_errors_and_is_counted(tmp_path):
    steps = []
    report = check(cityscapes(tmp_path), progress=lambda done, total: steps.append((done, total)))
    assert report.ok
    assert report.dataset == "cityscapes"
    (split,) = report.splits
    assert (split.name, split.images, split.labels, split.expected) == ("val", 4, 4, 500)
    assert split.sizes == {"6x8": 4}
    assert split.ids == dict.fromkeys(sorted(CITYSCAPES_IDS), 24)
    assert split.classes["road"] == pytest.approx(1 / 7)
    assert split.images_with["sky"] == 4
    assert split.ignored == pytest.approx(1 / 8)
    assert found(report, "warning") == {"4 images of 500": ()}
    assert found(report, "note") == {"labels: gtFine, labelIds": ()}
    assert steps == [(i, 4) for i in range(1, 5)]
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True


def test_all_problems_are_listed_without_an_exception(tmp_path):
    gta5(tmp_path, count=12)
    (tmp_path / "labels/00001.png").unlink()
    (tmp_path / "images/00002.png").unlink()
    data = (tmp_path / "images/00003.png").read_bytes()
    (tmp_path / "images/00003.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "labels/00004.png").write_bytes(b"")
    label(tmp_path / "labels/00005.png", (7, 99))
    label(tmp_path / "labels/00006.png", (0,))
    save(tmp_path / "images/00007.png", np.full((6, 8, 3), 9, np.uint8))
    label(tmp_path / "labels/00007.png", (23,))
    label(tmp_path / "labels/00008.png", size=(12, 16))
    outside = photo(tmp_path.parent / f"{tmp_path.name}-outside.png")
    (tmp_path / "images/00009.png").unlink()
    (tmp_path / "images/00009.png").symlink_to(outside)
    report = check(tmp_path)
    assert not report.ok
    errors, warnings = found(report, "error"), found(report, "warning")
    assert all("download these files again: download" in f.hint for f in report.findings if f.severity == "error")
    assert errors["images without a label"] == ("00001.png",)
    assert "00003.png" in errors["images that cannot be read"][0]
    assert "00004.png" in errors["labels that cannot be read"][0]
    assert errors["ids unknown to cityscapes"] == ("00005.png: [99]",)
    assert warnings["labels without an image"] == ("00002.png",)
    assert warnings["labels in which every pixel is ignored"] == ("00006.png",)
    assert warnings["single-colour images"] == ("00007.png",)
    assert warnings["links that lead out of the dataset"] == (f"00009.png -> {outside}",)
    assert warnings["11 images of 24966; 1 numbers are left out"] == ("2",)
    assert found(report, "note")["labels of another size than their image, resized to it for training"] == (
        "00008.png: 12x16, its image 6x8",
    )
    json.dumps(report.as_dict())


def test_a_label_of_another_aspect_than_its_image_is_an_error_except_in_gta5(tmp_path):
    synthia(tmp_path)
    label(tmp_path / "GT/LABELS/0000001.png", (3, 4, 2), (12, 20))
    save(tmp_path / "Depth/Depth/0000002.png", columns((1, 2), (3, 8)).astype(np.uint16))
    errors = found(check(tmp_path), "error")
    assert errors["labels of another aspect than their image"] == ("0000001.png: 12x20, its image 6x8",)
    assert errors["depth maps of another aspect than their image"] == ("0000002.png: 3x8, its image 6x8",)


def test_labels_and_depth_of_twice_the_size_of_their_images_are_usable(tmp_path):
    synthia(tmp_path)
    label(tmp_path / "GT/LABELS/0000001.png", (3, 4, 2), (12, 16))
    save(tmp_path / "Depth/Depth/0000002.png", columns((1, 2), (3, 4)).astype(np.uint16))
    report = check(tmp_path)
    assert report.ok
    notes, resized = found(report, "note"), "of another size than their image, resized to it for training"
    assert notes[f"labels {resized}"] == ("0000001.png: 12x16, its image 6x8",)
    assert notes[f"depth maps {resized}"] == ("0000002.png: 3x4, its image 6x8",)


def test_a_source_without_labels_is_an_error_and_a_target_is_not(tmp_path):
    photo(tmp_path / "1/images/00001.png")
    (report,) = [check(tmp_path / "1", "gta5")]
    assert not report.ok
    photo(tmp_path / "2/leftImg8bit/train/a/a_000000_000000_leftImg8bit.png")
    report = check(tmp_path / "2")
    assert report.ok
    assert any(message.startswith("no labels:") for message in found(report, "note"))


def test_folder_datasets(tmp_path):
    report = check(folder_dataset(tmp_path))
    assert report.ok
    assert report.splits[0].classes == {"road": 0.5, "car": 0.5}
    (tmp_path / "classes.yaml").unlink()
    report = check(tmp_path)
    assert "names: [road, car, person]" in report.findings[0].hint
    assert not report.ok
    assert check(tmp_path, coding="trainids").splits[0].classes["sidewalk"] == 0.5
    photo(tmp_path / "train/images/a.png")
    assert "a.jpg and a.png" in next(iter(found(check(tmp_path, coding="trainids"), "error")))
    (tmp_path / "val/images").mkdir(parents=True)
    assert "no images" in found(check(tmp_path, coding="trainids"), "error")


def test_the_verdict_goes_by_what_a_split_is_used_for(tmp_path):
    folder_dataset(tmp_path)
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    (tmp_path / "val/labels/a.png").unlink()
    report = check(tmp_path)
    assert report.usable_as == ("source", "target")
    assert found(report, "warning") == {"images without a label": ("a.jpg",)}
    assert not check(tmp_path, use="source").ok
    (tmp_path / "train/labels/a.png").unlink()
    (tmp_path / "train/labels/b.png").write_bytes(b"stray")
    report = check(tmp_path)
    assert (report.ok, report.usable_as) == (False, ("target",))
    assert set(found(report, "error")) == {"images without a label", "labels that cannot be read"}
    report = check(tmp_path, use="target")
    assert report.ok
    assert set(found(report, "note")) >= {"images without a label", "labels that cannot be read"}
    (tmp_path / "train/images/a.jpg").write_bytes(b"broken")
    assert check(tmp_path, use="target").usable_as == ()


def test_a_list_is_named_where_a_recipe_has_one(tmp_path):
    root = folder_dataset(tmp_path)
    shutil.copytree(root / "train", root / "val")
    for split in ("train", "val"):
        (root / split / "images/a.jpg").write_bytes(b"broken")
    hints = {f.split: f.hint for f in check(root).findings if f.severity == "error"}
    assert "`list` in the recipe" in hints["train"]
    assert "`list`" not in hints["val"]
    assert "move the labels of these images elsewhere" in hints["val"]


def test_the_expected_number_of_cross_city_counts_every_city(tmp_path):
    for city in ("Rome", "Rio"):
        photo(tmp_path / city / "Images/Train/1.jpg")
    assert check(tmp_path).splits[0].expected == 6_400
    assert check(tmp_path / "Rome").splits[0].expected == 3_200


def test_class_shares_far_from_the_published_ones_are_a_warning(tmp_path):
    for i in range(100):
        photo(tmp_path / f"leftImg8bit/train/a/a_{i:06d}_000000_leftImg8bit.png")
        label(tmp_path / f"gtFine/train/a/a_{i:06d}_000000_gtFine_labelIds.png", (23, 24))
    warnings = found(check(tmp_path), "warning")
    assert any("from the published ones" in message for message in warnings)


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0}))
    assert any("are free" in message for message in found(check(cityscapes(tmp_path)), "warning"))


def test_a_missing_dataset_raises(tmp_path):
    with pytest.raises(UdasegError, match="fits none"):
        check(tmp_path)
    with pytest.raises(UdasegError, match="expected the train images of Cityscapes"):
        check(tmp_path, "cityscapes")
    with pytest.raises(UdasegError, match="there is no dataset"):
        check(tmp_path, "camvid")
    with pytest.raises(UdasegError, match="detects the coding"):
        check(tmp_path, "gta5", coding="trainids")


def test_class_counts(tmp_path):
    cityscapes(tmp_path)
    label(tmp_path / "gtFine/val/aachen/aachen_000000_000019_gtFine_labelIds.png", (7,))
    steps = []
    space = class_space(["sky", "road"])
    images = open_labelled("cityscapes", tmp_path, "val", space)
    counts = class_counts(images, lambda done, total: steps.append(done))
    assert counts.content() == {
        "classes": ["sky", "road"],
        "pixels": [18, 66],
        "images": [3, 4],
        "per_image": {
            "aachen_000000_000019": [0, 48],
            "aachen_000001_000019": [6, 6],
            "bonn_000000_000019": [6, 6],
            "bonn_000001_000019": [6, 6],
        },
    }
    assert json.loads(json.dumps(counts.content())) == counts.content()
    assert steps == [1, 2, 3, 4]


def test_class_counts_name_the_file_that_stops_them(tmp_path):
    cityscapes(tmp_path)
    (tmp_path / "gtFine/val/bonn/bonn_000000_000019_gtFine_labelIds.png").write_bytes(b"")
    with pytest.raises(UdasegError, match="bonn_000000_000019_gtFine_labelIds"):
        class_counts(open_labelled("cityscapes", tmp_path, "val", SPACES["cs19"]))


def test_a_label_as_the_camera_stored_its_image_is_told_to_be_turned(tmp_path):
    """As in https://github.com/wkentaro/labelme/issues/1529."""
    root, turned = folder_dataset(tmp_path), Image.Exif()
    turned[0x0112] = 6  # the orientation
    for path in (root / "train/images").iterdir():
        Image.open(path).save(path, exif=turned)
    (error,) = (finding for finding in check(root).findings if finding.severity == "error")
    assert error.message == "labels of another aspect than their image"
    assert error.hint.startswith("turn these files as viewers show their images")
