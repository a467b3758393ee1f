"""Doubts about ids: the check names what a user most likely meant."""

import numpy as np
import pytest
from PIL import Image

from udaseg.data.check import check


def dataset(root, classes, *ids):
    """Write a dataset of one image, whose label has stripes of these ids."""
    for folder in ("images", "labels"):
        (root / "train" / folder).mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 40, 3), np.uint8)).save(root / "train/images/a.png")
    Image.fromarray(np.resize(np.repeat(np.array(ids, np.uint8), 40 // len(ids)), (8, 40))).save(
        root / "train/labels/a.png"
    )
    (root / "classes.yaml").write_text(classes)
    return root


def findings(root):
    return {f.message.split(":")[0]: (f.severity, f.hint) for f in check(root).findings if f.severity != "note"}


@pytest.mark.parametrize(
    ("ids", "meant"),
    [
        ((1, 2, 3), "`names: {1: road, 2: car, 3: tree}`"),
        ((0, 128, 250), "`names: {0: road, 128: car, 250: tree}`"),
        ((1, 2, 3, 255), "`names: {1: road, 2: car, 3: tree}`"),
    ],
)
def test_as_many_ids_as_classes_are_given_in_the_order_of_the_classes(tmp_path, ids, meant):
    found = findings(dataset(tmp_path, "names: [road, car, tree]\n", *ids))
    assert list(found) == ["ids unknown to classes.yaml"]
    assert found["ids unknown to classes.yaml"][1].startswith(
        f"if these are the classes in their order, write {meant} in classes.yaml; or list these ids in classes.yaml"
    )
    (tmp_path / "classes.yaml").write_text(f"{meant[1:-1]}\n")
    assert findings(tmp_path) == {}


def test_other_ids_are_left_to_the_user(tmp_path):
    found = findings(dataset(tmp_path / "more", "names: [road, car, tree]\n", 0, 1, 2, 3))
    assert found["ids unknown to classes.yaml"][1].startswith("list these ids in classes.yaml")
    found = findings(dataset(tmp_path / "own", "names: {1: road, 2: car, 7: tree}\n", 1, 2, 3))
    assert found["ids unknown to classes.yaml"][1].startswith("list these ids in classes.yaml")


@pytest.mark.parametrize(
    ("classes", "ids", "message", "meant"),
    [
        # https://github.com/CoinCheung/BiSeNet/issues/180
        ("names: [background, lane]", (0, 255), "background alone", "{0: background, 255: lane}"),
        # https://github.com/CoinCheung/BiSeNet/issues/96
        ("names: {1: tunnel}\nignore: [0]", (0, 1), "tunnel alone", "{0: background, 1: tunnel}"),
    ],
)
def test_an_ignored_id_beside_one_class_may_be_a_class(tmp_path, classes, ids, message, meant):
    ((text, (severity, hint)),) = findings(dataset(tmp_path, classes, *ids)).items()
    assert message in text
    assert severity == "warning"
    assert f"write `names: {meant}` in classes.yaml" in hint
    (tmp_path / "classes.yaml").write_text(f"names: {meant}\n")
    assert findings(tmp_path) == {}


def test_two_classes_with_ignored_pixels_are_no_doubt(tmp_path):
    assert findings(dataset(tmp_path, "names: [road, car, tree]\n", 0, 1, 255)) == {}


def test_a_colour_that_the_list_of_cvat_lacks_gets_a_line_there(tmp_path):
    """As in https://github.com/cvat-ai/cvat/issues/1659."""
    root = dataset(tmp_path, "", 0)
    (root / "classes.yaml").unlink()
    stripes = np.repeat(np.array([[[128, 0, 0], [0, 0, 0]]], np.uint8), 20, axis=1).repeat(8, axis=0)
    Image.fromarray(stripes).save(root / "train/labels/a.png")
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\ncar:128,0,0::\n")
    ((_, (_, hint)),) = findings(root).items()
    assert hint.startswith("give each a line in labelmap.txt, as in void:0,0,0::")
    (root / "labelmap.txt").write_text("car:128,0,0::\nvoid:0,0,0::\n")
    assert findings(root) == {}


def test_labels_without_any_class_are_an_error(tmp_path):
    found = findings(dataset(tmp_path, "names: {1: road}\nignore: [0, 5]\n", 0, 5))
    assert found.keys() == {"the labels show no class", "labels in which every pixel is ignored"}
    severity, hint = found["the labels show no class"]
    assert (severity, "classes.yaml" in hint) == ("error", True)
