"""Counts and scores against scikit-learn and cityscapesScripts, and by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import confusion_matrix

from udaseg.errors import UdasegError
from udaseg.metrics import SYNTHIA13, SYNTHIA16, confusion, count_classes, count_pairs, scores

CITYSCAPES19 = (*SYNTHIA16[:9], "terrain", *SYNTHIA16[9:13], "truck", "bus", "train", *SYNTHIA16[14:])


def labels(seed, size=(60, 83), classes=19, ignored=0.1, block=7):
    """Draw a map with runs of several pixels, as images have them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (size[0] // block + 1, size[1] // block + 1)).astype(np.uint8)
    label = coarse.repeat(block, 0).repeat(block, 1)[: size[0], : size[1]].copy()
    label[rng.random(size) < ignored] = 255
    return label


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_counts_are_those_of_scikit_learn(seed, height, width, block):
    truth = labels(seed, (height, width), 4, block=block)
    prediction = labels(seed + 1, (height, width), 4, ignored=0, block=block)
    valid = truth != 255
    expected = np.zeros((4, 4), np.int64)
    if valid.any():
        expected = confusion_matrix(truth[valid], prediction[valid], labels=range(4))
    counts = confusion(truth, prediction, 4)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)


def test_sums_over_images_in_any_order_and_layout():
    pairs = [(labels(i), labels(i + 50, ignored=0)) for i in range(4)]
    total = np.zeros((19, 19), np.int64)
    for truth, prediction in pairs:
        assert confusion(truth, prediction, 19, out=total) is total
    truth, prediction = (np.concatenate(maps) for maps in zip(*pairs[::-1], strict=True))
    np.testing.assert_array_equal(confusion(truth, prediction, 19), total)
    np.testing.assert_array_equal(confusion(truth.T, prediction.T, 19), total)
    np.testing.assert_array_equal(confusion(truth[:, ::2], prediction[:, ::2], 19).sum(), (truth[:, ::2] != 255).sum())


def test_class_counts():
    label = labels(3)
    for part in (label, label[:, ::3], label[:1, :5], label[:0]):
        assert count_classes(part, 19).tolist() == [(part == c).sum() for c in range(19)]
    with pytest.raises(UdasegError, match="holds the ids"):
        count_classes(label, 5)


def test_agrees_with_the_official_scripts(tmp_path):
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33], np.uint8)
    truth, prediction = labels(1, ignored=0.2), labels(2, ignored=0)
    truth[truth == 16] = 255
    prediction[prediction == 16] = 3  # train is absent
    table = np.full(256, 4, np.uint8)  # ignored pixels have the id of "static"
    table[:19] = ids
    paths = [str(tmp_path / name) for name in ("prediction.png", "truth.png")]
    for path, label in zip(paths, (prediction, truth), strict=True):
        Image.fromarray(table[label]).save(path)
    args = official.args
    args.evalInstLevelScore = args.evalPixelAccuracy = False
    args.quiet = True
    matrix = official.generateMatrix(args)
    official.evaluatePair(*paths, matrix, {}, {}, args)
    expected = [official.getIouScoreForLabel(int(i), matrix, args) for i in ids]
    ours = scores(confusion(truth, prediction, 19), CITYSCAPES19)
    assert ours.absent == ("train",)
    for value, reference in zip(ours.iou, expected, strict=True):
        assert math.isnan(reference) if value is None else value == reference
    assert ours.miou == pytest.approx(np.nanmean(expected), abs=1e-15)


def test_two_classes_by_hand():
    truth = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
    prediction = np.array([[0, 0, 1, 1], [1, 0, 0, 1]], np.uint8)
    counts = confusion(truth, prediction, 2)
    assert counts.tolist() == [[2, 1], [1, 2]]
    ours = scores(counts, ("road", "car"))
    assert ours.iou == (0.5, 0.5)
    assert (ours.miou, ours.pixel_accuracy, ours.absent) == (0.5, 4 / 6, ())
    assert (ours.miou16, ours.miou13) == (None, None)


def test_an_absent_class_is_listed_and_in_no_mean():
    ours = scores(np.array([[3, 0, 0], [1, 4, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert ours.iou == (0.75, 0.8, None)
    assert ours.miou == pytest.approx(0.775)
    assert ours.absent == ("c",)
    empty = scores(np.zeros((2, 2), np.int64), ("a", "b"))
    assert (empty.miou, empty.pixel_accuracy, empty.absent) == (None, None, ("a", "b"))


def test_a_class_that_is_predicted_but_never_true_counts_as_zero():
    assert scores(np.array([[3, 1], [0, 0]]), ("a", "b")).iou == (0.75, 0.0)


def test_means_over_the_classes_of_synthia():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 100, (16, 16))
    sixteen = scores(counts, SYNTHIA16)
    assert sixteen.miou16 == sixteen.miou
    assert sixteen.miou13 == pytest.approx(np.mean(np.delete(sixteen.iou, [3, 4, 5])))
    assert sixteen.convention.startswith("A")
    counts = rng.integers(1, 100, (19, 19))
    nineteen = scores(counts, CITYSCAPES19)
    assert nineteen.convention.startswith("B")
    assert nineteen.miou16 == pytest.approx(np.mean(np.delete(nineteen.iou, [9, 14, 16])))
    # Counting the same predictions without the three extra classes' columns and rows can only help.
    keep = np.delete(np.arange(19), [9, 14, 16])
    assert scores(counts[np.ix_(keep, keep)], SYNTHIA16).miou16 > nineteen.miou16
    thirteen = scores(counts[:13, :13], SYNTHIA13)
    assert (thirteen.miou16, thirteen.miou13) == (None, thirteen.miou)


def test_document_is_json_with_null_for_absent_classes():
    counts = np.array([[3, 0], [0, 0]])
    document = json.loads(json.dumps(scores(counts, ("a", "b")).document(counts, 7), allow_nan=False))
    assert document["iou"] == [1.0, None]
    assert document["confusion"] == [[3, 0], [0, 0]]
    assert document["images"] == 7
    assert set(document) >= {"classes", "miou", "miou16", "miou13", "pixel_accuracy", "convention"}


def test_a_pixel_with_truth_needs_a_prediction():
    truth = np.array([[0, 1, 255]], np.uint8)
    for wrong in (2, 255):
        with pytest.raises(UdasegError, match=f"prediction holds the ids {wrong}"):
            confusion(truth, np.array([[0, wrong, 0]], np.uint8), 2)
    assert confusion(truth, np.array([[0, 1, 255]], np.uint8), 2).sum() == 2


def test_refuses_sizes_and_ids_that_do_not_fit():
    truth = np.zeros((2, 3), np.uint8)
    with pytest.raises(UdasegError, match=r"truth is \[2, 3\] and prediction \[3, 2\]"):
        confusion(truth, truth.T, 2)
    with pytest.raises(UdasegError, match="truth holds the ids 7"):
        confusion(truth + np.uint8(7), truth, 2)
    with pytest.raises(UdasegError, match="int64"):
        confusion(truth, truth.astype(np.int64), 2)
    with pytest.raises(UdasegError, match="for 3 classes"):
        scores(np.zeros((2, 2), np.int64), ("a", "b", "c"))


def test_a_wrong_image_leaves_the_sum_untouched():
    total = np.zeros((2, 2), np.int64)
    with pytest.raises(UdasegError):
        confusion(np.zeros((2, 2), np.uint8), np.full((2, 2), 9, np.uint8), 2, out=total)
    assert not total.any()


def test_label_maps_of_two_sizes_have_no_pairs():
    with pytest.raises(UdasegError, match="expected one shape"):
        count_pairs(np.zeros((2, 8), np.uint8), np.zeros((1, 8), np.uint8))
