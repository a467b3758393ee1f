"""Averaged scores: what the mean is, and which files may be averaged."""

import numpy as np
import pytest

from udaseg.errors import UdasegError
from udaseg.inference.ensemble import average_logits, ensemble
from udaseg.inference.predictions import Predictions, PredictionsWriter

SIZE = (24, 32)


def write(folder, seed, stems="ab", classes=("road", "car", "sky"), shape=(3, 4), align_corners=True, size=SIZE):
    folder.mkdir()
    rng = np.random.default_rng(seed)
    with PredictionsWriter(folder, classes, align_corners) as writer:
        for stem in stems:
            writer.put(stem, rng.normal(0, 3, (len(classes), *shape)).astype(np.float16), *size)
    return folder / "predictions.h5"


def softmax(logits):
    scores = np.exp(logits.astype(np.float64))
    return scores / scores.sum(0)


def test_the_mean_is_that_of_the_probabilities(tmp_path):
    files = [write(tmp_path / str(seed), seed) for seed in range(3)]
    weights = [0.5, 0.3, 0.2]
    assert ensemble(files, weights, tmp_path / "out") == 2
    with Predictions(tmp_path / "out" / "predictions.h5") as mean:
        assert (mean.stems, mean.classes, mean.align_corners) == (("a", "b"), ("road", "car", "sky"), True)
        for stem in mean.stems:
            expected = 0
            for file, weight in zip(files, weights, strict=True):
                with Predictions(file) as store:
                    expected = expected + weight * softmax(store.logits(stem))
            np.testing.assert_allclose(np.exp(mean.logits(stem).astype(np.float64)), expected, rtol=4e-3)
            assert mean.size(stem) == SIZE


def test_weights_need_not_sum_to_one():
    logits = [np.random.default_rng(i).normal(0, 2, (4, 2, 3)).astype(np.float16) for i in range(2)]
    np.testing.assert_array_equal(average_logits(logits, [1, 3]), average_logits(logits, [0.25, 0.75]))


def test_a_network_with_itself_keeps_its_probabilities_and_stays_finite():
    logits = np.array([6e4, -6e4, 0], np.float16).reshape(3, 1, 1)
    mean = average_logits([logits, logits], [1, 1])
    assert np.isfinite(mean).all()
    assert mean[0] == 0
    assert mean[1] < -80
    mild = np.array([0.5, 0, -1], np.float16).reshape(3, 1, 1)
    np.testing.assert_allclose(softmax(average_logits([mild, mild], [1, 1])), softmax(mild), atol=1e-3)


def test_it_goes_on_where_it_was_stopped(tmp_path):
    files = [write(tmp_path / str(seed), seed) for seed in range(2)]
    ensemble(files, [1, 1], tmp_path / "alone")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensemble(files, [1, 1], tmp_path / "stopped", progress=stop)
    assert not (tmp_path / "stopped" / "predictions.h5").exists()
    ensemble(files, [1, 1], tmp_path / "stopped")
    alone, stopped = (tmp_path / run / "predictions.h5" for run in ("alone", "stopped"))
    assert alone.read_bytes() == stopped.read_bytes()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"classes": ("road", "car", "tree")}, "cannot be averaged: classes"),
        ({"align_corners": False}, "cannot be averaged: align_corners: True and False"),
        ({"stems": "abc"}, "1 are only in one, such as c"),
        ({"shape": (4, 4)}, r"a has the grid \[3, 3, 4\] in .* and \[3, 4, 4\] in"),
        ({"size": (24, 33)}, r"a has the size \[24, 32\]|a has the size \(24, 32\)"),
    ],
)
def test_files_that_differ_raise(tmp_path, other, message):
    files = [write(tmp_path / "one", 0), write(tmp_path / "other", 1, **other)]
    with pytest.raises(UdasegError, match=message):
        ensemble(files, [1, 1], tmp_path / "out")
