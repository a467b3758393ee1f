"""Labels and confidences on a finer grid: within the bound of their codes, and close to those of the logits between."""

import h5py
import numpy as np
import pytest
import torch

from udaseg.errors import UdasegError
from udaseg.inference.confidence import label_and_confidence
from udaseg.inference.predictions import CONFIDENCE, Predictions, PredictionsWriter
from udaseg.inference.stored_confidence import code_bound, code_step, compress, decode, encode, expand

CLASSES = ("road", "car", "sky")


def logits_of(seed, classes=3, size=(6, 9), sharpness=6.0):
    """Return smooth logits that saturate inside of regions, as those of a network do."""
    coarse = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, classes, 3, 4)) * sharpness)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    return smooth[0].numpy().astype(np.float16)


@pytest.mark.parametrize("classes", [2, 3, 19, 254])
def test_every_confidence_comes_back_within_the_bound(classes):
    lowest = 1 / classes
    log_odds = np.linspace(np.log(lowest / (1 - lowest)), 24 * np.log(2), 100_001)
    confidence = 1 / (1 + np.exp(-log_odds))
    _, values = decode(classes)
    error = np.abs(values[encode(confidence, classes)] - confidence)
    assert (error <= code_bound(confidence, classes) + 1e-7).all()
    assert (error <= code_step(classes) / 8 + 1e-7).all()
    first_order = confidence * (1 - confidence) * code_step(classes) / 2
    assert (code_bound(confidence, classes) <= 1.06 * first_order + 1e-12).all()


def test_the_bounds_that_the_documents_name():
    assert code_step(19) == pytest.approx(0.0766, abs=1e-4)
    for confidence, bound in ((0.5, 0.0096), (0.9, 0.0035), (0.99, 0.0004), (0.999, 0.00004)):
        assert code_bound(confidence, 19) < 1.05 * bound


def test_every_code_comes_back_as_itself_and_certainty_is_the_largest():
    log_odds, values = decode(19)
    distinct = int((log_odds < 12).sum())  # above, float32 has too few numbers below 1 for all codes
    assert encode(values[:distinct], 19).tolist() == list(range(distinct))
    assert encode(np.array([1.0, 1 - 2.0**-24]), 19).tolist() == [255, 255]
    assert encode(np.array([1 / 19]), 19).tolist() == [0]
    assert (np.diff(log_odds) > 0).all()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (4, 5)])
def test_at_the_points_of_the_logits_labels_are_equal_and_confidences_within_the_bound(size, align_corners):
    logits_CHW = logits_of(1, size=size)
    label, confidence = label_and_confidence(logits_CHW, *size, align_corners)
    stored_label, stored = expand(compress(logits_CHW), *size, align_corners, 3)
    np.testing.assert_array_equal(stored_label, label)
    assert (np.abs(stored - confidence) <= code_bound(confidence.astype(np.float64), 3) + 1e-6).all()


@pytest.mark.parametrize("align_corners", [False, True])
def test_between_the_points_two_classes_have_the_confidence_of_the_logits_but_for_the_code(align_corners):
    """Their log-odds are linear between the points, as logits are."""
    logits_CHW = logits_of(2, classes=2)
    label, confidence = label_and_confidence(logits_CHW, 61, 90, align_corners)
    stored_label, stored = expand(compress(logits_CHW), 61, 90, align_corners, 2)
    same = stored_label == label
    assert same.mean() > 0.99
    bound = code_bound(confidence.astype(np.float64), 2) + 1e-5
    assert (np.abs(stored - confidence) <= bound)[same].all()
    assert confidence[~same].max() < 0.9  # at the border alone


@pytest.mark.parametrize("align_corners", [False, True])
def test_of_several_classes_few_labels_differ_and_those_are_unsure(align_corners):
    shares, unsure = [], []
    for seed in range(5):
        logits_CHW = logits_of(seed, classes=6)
        label, confidence = label_and_confidence(logits_CHW, 96, 144, align_corners)
        stored_label, _ = expand(compress(logits_CHW), 96, 144, align_corners, 6)
        shares.append((stored_label != label).mean())
        unsure.append(confidence[stored_label != label].max())
    assert np.mean(shares) < 0.04
    assert max(unsure) < 0.9  # a threshold above keeps the same labels there


def write(folder, stems=("a", "b")):
    with PredictionsWriter(folder, CLASSES, True, CONFIDENCE) as writer:
        for stem in stems:
            writer.put_logits(stem, logits_of(ord(stem)), 48, 72)
    return folder / "predictions.h5"


def test_the_file_has_two_planes_of_a_byte_and_the_same_bytes_in_any_order(tmp_path):
    path = write(tmp_path / "one")
    with h5py.File(path) as file:
        assert sorted(file) == ["confidence"]
        dataset = file["confidence/a"]
        assert (dataset.dtype, dataset.shape) == (np.uint8, (2, 11, 17))
        assert (dataset.attrs["height"], dataset.attrs["width"]) == (48, 72)
    assert write(tmp_path / "other", ("b", "a")).read_bytes() == path.read_bytes()


def test_a_file_gives_labels_and_confidences_and_no_logits(tmp_path):
    with Predictions(write(tmp_path)) as predictions:
        assert predictions.store == "confidence"
        label, confidence = predictions.label_and_confidence("a")
        np.testing.assert_array_equal(label, predictions.label("a"))
        assert (label.shape, confidence.dtype) == ((48, 72), np.float32)
        assert predictions.label("a", (24, 36)).shape == (24, 36)
        with pytest.raises(UdasegError, match="labels and confidences alone") as error:
            predictions.logits("a")
    assert error.value.hint.endswith("udaseg predict --store logits")


def test_a_writer_of_another_store_and_labels_of_no_class_are_refused(tmp_path):
    path = write(tmp_path)
    with pytest.raises(UdasegError, match="of another model"):
        PredictionsWriter(tmp_path, CLASSES, True)
    with h5py.File(path, "r+") as file:
        file["confidence/a"][0, 0, 0] = 3
    with Predictions(path) as predictions, pytest.raises(UdasegError, match="labels above 2, which are no classes"):
        predictions.values("a")
