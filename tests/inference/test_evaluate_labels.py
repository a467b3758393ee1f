"""Label files of another tool are scored as predictions are."""

import numpy as np
import pytest

from udaseg.data import open_labelled
from udaseg.data.image_sets import View
from udaseg.data.images.read import write_label
from udaseg.errors import UdasegError
from udaseg.inference.evaluate_labels import evaluate_labels
from udaseg.labels import class_space, flat_palette

SPACE = class_space(["road", "car"])
TRUTH = np.array([[0, 0, 1, 255], [0, 1, 1, 255]], np.uint8)


@pytest.fixture
def labelled(tmp_path):
    from PIL import Image

    (tmp_path / "set/val/images").mkdir(parents=True)
    (tmp_path / "set/classes.yaml").write_text("names: [road, car]")
    for stem in "ab":
        Image.fromarray(np.zeros((*TRUTH.shape, 3), np.uint8)).save(tmp_path / f"set/val/images/{stem}.png")
        write(tmp_path / f"set/val/labels/{stem}.png", TRUTH)
    return open_labelled("folder", tmp_path / "set", "val", SPACE)


def write(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_label(path, np.array(ids, np.uint8), flat_palette(SPACE))
    return path


def score(labelled, tmp_path, predicted, gt_size=None, **more):
    warnings = []
    files = {stem: write(tmp_path / f"predicted/{stem}.png", ids) for stem, ids in predicted.items()}
    return evaluate_labels(files, View(labelled, gt_size), tmp_path / "out", warn=warnings.append, **more), warnings


def test_scores_and_the_images_without_a_prediction(labelled, tmp_path):
    metrics, warnings = score(labelled, tmp_path, {"a": [[0, 1, 1, 255], [0, 1, 0, 0]]})
    assert metrics["confusion"] == [[2, 1], [1, 2]]
    assert metrics["miou"] == pytest.approx(0.5)
    assert metrics["images"] == 1
    assert warnings == ["1 of 2 labelled images have no prediction and are left out"]
    assert (tmp_path / "out/metrics.json").is_file()
    assert (tmp_path / "out/panels/a-prediction.png").is_file()


def test_predictions_of_another_size_are_resized_nearest(labelled, tmp_path):
    larger = TRUTH.repeat(2, 0).repeat(2, 1)
    metrics, warnings = score(labelled, tmp_path, {"a": larger, "b": TRUTH})
    assert metrics["miou"] == 1
    assert warnings == ["1 predictions have another size than the true label, and were resized to it, nearest"]
    with pytest.raises(UdasegError, match=r"a\.png: expected the aspect of the true label, 2x4, found 4x4"):
        score(labelled, tmp_path, {"a": np.zeros((4, 4))})


@pytest.mark.parametrize("size", [(1, 2), (2, 2)])  # the second has another aspect than the images
def test_both_labels_are_resized_to_the_size_that_counts(labelled, tmp_path, size):
    metrics, warnings = score(labelled, tmp_path, {"a": TRUTH, "b": TRUTH}, gt_size=size)
    assert np.sum(metrics["confusion"]) <= 2 * size[0] * size[1]
    assert (metrics["miou"], metrics["gt_size"], warnings) == (1, [*size], [])
    _, warnings = score(labelled, tmp_path, {"a": TRUTH.repeat(2, 0).repeat(2, 1), "b": TRUTH}, gt_size=size)
    assert warnings == ["1 predictions have another size than the true label, and were resized to it, nearest"]


def test_pixels_without_a_class_would_raise_the_score_and_are_refused(labelled, tmp_path):
    with pytest.raises(UdasegError, match=r"b\.png: .* found 255 on 33.3% of them") as error:
        score(labelled, tmp_path, {"a": TRUTH, "b": [[255, 0, 1, 255], [0, 255, 1, 1]]})
    assert error.value.hint


def test_unknown_ids_are_named(labelled, tmp_path):
    with pytest.raises(UdasegError, match=r"a\.png: expected train ids 0 to 1 and 255, found \[7\]") as error:
        score(labelled, tmp_path, {"a": np.full(TRUTH.shape, 7)})
    assert error.value.hint.startswith("write the numbers of the classes in `space`: 0 is ")
