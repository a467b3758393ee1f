"""Refinement as a whole: what each step does to a label, in which order, and what is counted of it."""

import json

import numpy as np
import pytest

from udaseg.config import Refine
from udaseg.data.images.read import read_train_ids, write_label
from udaseg.errors import UdasegError
from udaseg.inference.predictions import Predictions, PredictionsWriter
from udaseg.labels import class_space, flat_palette
from udaseg.pseudo.refine import nearest_label, refine

SPACE = class_space(["road", "car", "sky"])
BOTH = {"aggregate": True, "prototypes": True, "confidence": 0.0, "base0": 3, "base1": 0}

# A pixel a letter: r road, c car, s sky, . no label.
BEFORE = "rrrr.", "rccr.", "rrrr.", ".....", "sssss"
NETWORK = "rrrrr", "rccrr", "rrrrr", "sssss", "sssss"
RECTIFIED = "rrrrc", "rcccc", "rrrrc", "ccsss", "sssss"


def label_of(rows):
    return np.array([["rcs".find(pixel) if pixel != "." else 255 for pixel in row] for row in rows], np.uint8)


def letters(label_HW):
    return tuple("".join("." if value == 255 else "rcs"[value] for value in row) for row in label_HW)


def logits_of(rows, sure=5.0):
    return np.float32(sure) * (np.arange(3)[:, None, None] == label_of(rows)).astype(np.float32)


@pytest.fixture
def run(tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    write_label(labels / "a.png", label_of(BEFORE), flat_palette(SPACE))
    with PredictionsWriter(tmp_path, SPACE.classes, align_corners=False) as writer:
        writer.put("a", logits_of(NETWORK).astype(np.float16), 5, 5)

    def refined(rectified=RECTIFIED, out="out", **settings):
        rectify = lambda stems: ((stem, logits_of(rectified)) for stem in stems)  # noqa: E731
        with Predictions(tmp_path / "predictions.h5") as predictions:
            chosen = Refine(**settings)
            document = refine(
                {"a": labels / "a.png"},
                predictions,
                SPACE,
                chosen,
                tmp_path / out,
                source_pixels=[1, 1, 1],
                rectify=rectify,
            )
        assert json.loads((tmp_path / out / "refine.json").read_text()) == document.content()
        return document, letters(read_train_ids(tmp_path / out / "labels" / "a.png", SPACE))

    return refined


def test_prototypes_decide_anew_on_the_labelled_pixels(run):
    document, label = run(prototypes=True)
    assert label == ("rrrr.", "rccc.", "rrrr.", ".....", "sssss")
    assert document.order == ["prototypes"]
    assert (document.before, document.after, document.flipped) == ([10, 2, 5], [9, 3, 5], [1, 0, 0])
    assert document.minimum == [None, None, None]


def test_or_on_all_pixels(run):
    document, label = run(prototypes=True, pixels="all")
    assert label == RECTIFIED
    assert (document.after, document.flipped) == ([9, 8, 8], [1, 0, 0])


def test_or_by_the_nearest_anchor_with_a_margin(run):
    nearest = {"prototypes": True, "pixels": "all", "decide": "nearest"}
    close = ("rrrr.", "rccc.", "rrrr.", "....."[:5], "sssss")  # no class stands out where there is no letter
    assert run(rectified=close, **nearest, margin=5.0)[1] == close
    assert run(rectified=close, **nearest, margin=5.1, out="none")[1] == (".....",) * 5
    assert run(rectified=close, **nearest, margin=2.5, temperature=0.4, out="cold")[1] == (".....",) * 5
    labelled = nearest | {"pixels": "labelled"}
    assert run(**labelled, margin=1.0, out="labelled")[1] == ("rrrr.", "rccc.", "rrrr.", ".....", "sssss")


def test_the_nearest_label_is_at_the_grid():
    logits_Chw = -np.array([[[1, 4.0], [2, 2]], [[3.5, 1.0], [9, 2]]], np.float32)  # distances to two anchors
    assert nearest_label(logits_Chw, 2.5).tolist() == [[0, 1], [0, 255]]
    assert nearest_label(logits_Chw, 0.0).tolist() == [[0, 1], [0, 0]]
    assert nearest_label(logits_Chw[:1], 2.5).tolist() == [[0, 0], [0, 0]]


def test_the_order_of_the_steps_matters_and_is_named(run):
    document, label = run(**BOTH)
    assert document.order == ["prototypes", "aggregate"]
    assert label == ("rrrr.", "rccc.", "rrrr.", ".....", "sssss")
    document, label = run(**BOTH, first="aggregate", out="other")
    assert document.order == ["aggregate", "prototypes"]
    assert label == ("rrrr.", "r..c.", "rrrr.", ".....", "sssss")
    assert document.minimum == [3, 3, 3]


def test_aggregation_alone_knows_no_prototypes(run):
    document, label = run(**BOTH | {"prototypes": False})
    assert label == ("rrrr.", "r..r.", "rrrr.", ".....", "sssss")
    assert document.flipped == [0, 0, 0]


def test_least_sizes_are_noted_for_the_largest_picture(tmp_path):
    label_HW = np.zeros((40, 60), np.uint8)
    write_label(tmp_path / "wide.png", label_HW, flat_palette(SPACE))
    write_label(tmp_path / "tall.png", label_HW[:, :4].repeat(2, 0), flat_palette(SPACE))
    with PredictionsWriter(tmp_path, SPACE.classes, align_corners=False) as writer:
        writer.put("wide", np.zeros((3, 4, 6), np.float16), 40, 60)
        writer.put("tall", np.zeros((3, 8, 2), np.float16), 80, 4)
    settings = Refine(aggregate=True, confidence=0.0, base0=1280 * 76, base1=0, scale_with_area=True)
    with Predictions(tmp_path / "predictions.h5") as predictions:
        labels = {stem: tmp_path / f"{stem}.png" for stem in ("wide", "tall")}
        document = refine(labels, predictions, SPACE, settings, tmp_path / "out", source_pixels=[1, 1, 1])
    assert document.minimum == [240, 240, 240]


def test_confidence_is_that_of_the_rectified_scores(run):
    settings = BOTH | {"confidence": 0.9, "base0": 0}
    assert run(**settings)[1] == ("rrrr.", "rccc.", "rrrr.", ".....", "sssss")
    unsure = ("rrrr.", "rccc.", "rrrr.", ".....", ".....")  # no logit stands out where there is no letter
    assert run(rectified=unsure, **settings, out="unsure")[1] == unsure


def test_without_prototypes_it_is_that_of_the_prediction(run):
    settings = {"aggregate": True, "base0": 0, "base1": 0}
    share = float(np.exp(5) / (np.exp(5) + 2))  # of the class that stands out by 5
    assert run(**settings, confidence=share - 1e-4)[1] == BEFORE
    assert run(**settings, confidence=share + 1e-4, out="unsure")[1] == (".....",) * 5


def test_pictures_that_are_done_are_counted_and_not_rectified_again(run):
    document, _ = run(prototypes=True)
    again, label = run(prototypes=True, rectified=NETWORK)
    assert (again, label[1]) == (document, "rccc.")


def test_a_label_of_another_size_in_the_place_of_one_that_is_done_is_named(run, tmp_path):
    run(aggregate=True)
    write_label(tmp_path / "out/labels/a.png", label_of(BEFORE[:3]), flat_palette(SPACE))
    with pytest.raises(UdasegError, match=r"out/labels/a\.png has the size \(3, 5\)"):
        run(aggregate=True)
