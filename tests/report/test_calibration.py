"""Reliability over bins: the counts of scikit-learn's curve, an error worked by hand, probabilities at right places."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.calibration import calibration_curve
from torch.nn.functional import interpolate

from udaseg.inference.predictions import PredictionsWriter
from udaseg.report import collect, render
from udaseg.report.calibration import (
    BINS,
    GRID,
    Reliability,
    pseudo_label_reliability,
    sample_positions,
    sample_probabilities,
)
from udaseg.report.calibration_charts import reliability_diagram
from udaseg.report.feature_space import FeatureSpace
from udaseg.report.section_values import calibration


def filled(confidence, is_right) -> Reliability:
    one = Reliability()
    one.add(np.array(confidence, np.float32), np.array(is_right, bool))
    return one


def test_the_error_is_that_of_the_equation():
    # 3/4 right at 0.9, 0 right at 0.5: (4 * |0.75 - 0.9| + 1 * |0 - 0.5|) / 5
    one = filled([0.9, 0.9, 0.9, 0.9, 0.5], [1, 1, 1, 0, 0])
    assert one.error == pytest.approx((4 * 0.15 + 0.5) / 5, abs=1e-6)
    assert one.accuracy == 0.6


def test_whoever_is_as_right_as_confident_has_no_error():
    confidence = np.repeat([0.25, 0.5, 1.0], 4)
    assert filled(confidence, [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1]).error == 0
    assert Reliability().error is None


def test_bins_are_those_of_scikit_learn_and_parts_add_up():
    rng = np.random.default_rng(0)
    confidence = rng.random(5000)
    is_right = rng.random(5000) < confidence**2
    one = Reliability()
    for part in np.array_split(np.arange(5000), 7):
        one.add(confidence[part], is_right[part])
    accuracy, mean = calibration_curve(is_right, confidence, n_bins=BINS)
    np.testing.assert_allclose([right for _, _, right in one.bins], accuracy)
    np.testing.assert_allclose([mean for _, mean, _ in one.bins], mean)
    assert one.pixels == 5000


def test_the_ends_of_the_range_are_in_the_first_and_the_last_bin():
    assert filled([0.0, 1.0], [0, 1]).counts.tolist() == [1, *[0] * (BINS - 2), 1]


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(20, 31), (150, 257)])
def test_probabilities_are_those_of_the_whole_image_at_the_counted_pixels(align_corners, size):
    logits_CHW = np.random.default_rng(0).normal(0, 3, (4, 7, 9)).astype(np.float16)
    full = interpolate(torch.from_numpy(logits_CHW).float()[None], size, mode="bilinear", align_corners=align_corners)
    expected = full[0].softmax(0).numpy()[:, sample_positions(size[0])][..., sample_positions(size[1])]
    np.testing.assert_allclose(sample_probabilities(logits_CHW, *size, align_corners), expected, atol=2e-6)


def test_counted_rows_lie_at_even_distances():
    assert sample_positions(5).tolist() == [0, 1, 2, 3, 4]
    many = sample_positions(1000)
    assert len(many) == GRID
    assert set(np.diff(many)) <= {7, 8}
    assert many[0] + many[-1] == 999 or many[0] + many[-1] == 1000


@pytest.fixture
def labels(tmp_path):
    """Write predictions of one image of 1x4 pixels, and pseudo-labels: two of them chosen, one against the argmax."""
    logits_CHW = np.log(np.array([[[0.9, 0.8, 0.6, 0.6]], [[0.1, 0.2, 0.4, 0.4]]])).astype(np.float16)
    with PredictionsWriter(tmp_path, ("road", "car"), False) as writer:
        writer.put("a", logits_CHW, 1, 4)
    (tmp_path / "labels").mkdir()
    Image.fromarray(np.array([[0, 255, 1, 255]], np.uint8)).save(tmp_path / "labels/a.png")
    return tmp_path


def test_pseudo_labels_are_judged_by_the_probability_of_their_own_class(labels):
    truth = {"a": np.array([[0, 1, 1, 255]], np.uint8)}
    everything, chosen = pseudo_label_reliability(labels / "labels", labels / "predictions.h5", truth.get)
    assert (everything.pixels, everything.accuracy) == (3, 1 / 3)  # the last pixel has no true label
    assert (chosen.pixels, chosen.accuracy) == (2, 1.0)
    assert chosen.confidence.sum() == pytest.approx(0.9 + 0.4, abs=2e-3)
    assert chosen.error == pytest.approx((0.1 + 0.6) / 2, abs=2e-3)


@pytest.mark.parametrize("lacking", ["labels", "predictions", "truth", "other"])
def test_without_the_truth_or_the_files_nothing_is_judged(labels, lacking):
    files = {"labels": labels / "labels", "predictions": labels / "predictions.h5"}
    files[lacking] = labels / "nowhere.h5" if lacking == "predictions" else None
    truth = {"truth": None, "other": {}.get}.get(lacking, lambda stem: np.zeros((1, 4), np.uint8))
    assert pseudo_label_reliability(files["labels"], files["predictions"], truth) is None


def test_the_page_names_the_error_the_counts_and_the_source(fake_run, labels):
    run = fake_run(classes=("road", "car"))
    folder = run.pseudolabel("pseudolabel", [0.5, 0.5], [2, 2], [1, 1])
    for path in (folder / "labels").iterdir():
        path.unlink()
    (labels / "labels/a.png").rename(folder / "labels/a.png")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("runs/demo/predict", str(labels / "predictions.h5")))
    html = render(collect(run.root, truth={"a": np.array([[0, 1, 1, 255]], np.uint8)}.get))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3" in text
    assert "all predictions 3 76.7 33.3 50.0" in text  # |1 - 0.9|, |0 - 0.8| and |0 - 0.6|, over three
    assert "pseudo-labels 2 65.0 100.0 35.0" in text
    assert "Predictions on labelled target images are not judged: the images of the domains were not given" in text


def test_a_diagram_without_any_pixel_is_drawn():
    everything = filled([0.9], [True])
    assert reliability_diagram([("source", "all", everything), ("adapted", "chosen", Reliability())], "none")
    assert reliability_diagram([("source", "all", Reliability())], "none")


def test_the_page_says_why_pseudo_labels_are_not_judged(fake_run):
    run = fake_run(classes=("road", "car"))
    run.pseudolabel("pseudolabel", [0.5, 0.5], [2, 2], [1, 1])
    assert "Pseudo-labels are not judged" in render(collect(run.root))


def test_labels_that_are_there_and_cannot_be_read_are_the_reason(fake_run):
    run = fake_run(classes=("road", "car"))
    run.pseudolabel("pseudolabel", [0.5, 0.5], [2, 2], [1, 1])
    nothing = np.zeros(0, np.int64)
    features = FeatureSpace(("road", "car"), (), nothing > 0, nothing, (1, 1), "train", has_target_labels=False)
    unread = {"val": "classes.yaml is broken", "target labels": "a.yaml is broken"}
    assert calibration(replace(collect(run.root), features=features, unread=unread))["missing"] == [
        "Pseudo-labels are not judged: a.yaml is broken.",
        "Predictions are not judged: classes.yaml is broken.",
    ]
