"""The fused kernels against torch: interpolate, softmax, max."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from udaseg.errors import UdasegError
from udaseg.inference.confidence import argmax_label, label_and_confidence, thresholded_label


def softmax_by_torch(logits_CHW, height, width, align_corners):
    logits_1CHW = torch.from_numpy(np.asarray(logits_CHW, np.float32))[None]
    full_1CHW = interpolate(logits_1CHW, size=(height, width), mode="bilinear", align_corners=align_corners)
    return full_1CHW.softmax(1)[0].numpy()


def some_logits(shape=(19, 8, 9), scale=3.0, dtype=np.float16, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(dtype)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((19, 16, 33), (128, 264)),
        ((19, 9, 17), (65, 129)),
        ((16, 24, 41), (190, 320)),
        ((2, 5, 7), (5, 7)),
        ((3, 4, 6), (8, 6)),
        ((7, 12, 20), (5, 11)),
        ((1, 3, 3), (7, 7)),
        ((254, 3, 4), (9, 10)),
        ((4, 1, 1), (6, 5)),
        ((4, 6, 5), (1, 1)),
        ((3, 2, 70), (3, 1300)),
        ((4, 2, 3), (6, 2000)),
    ],
)
def test_gives_torchs_labels_and_confidences(shape, size, dtype, align_corners):
    logits_CHW = some_logits(shape, dtype=dtype)
    expected_CHW = softmax_by_torch(logits_CHW, *size, align_corners)
    label, confidence = label_and_confidence(logits_CHW, *size, align_corners)
    assert (label.dtype, confidence.dtype, label.shape) == (np.uint8, np.float32, size)
    # Where places are no multiples of a power of 2, torch rounds them to 1e-6 of a pixel, one way or the other.
    rounded = align_corners or size[0] % shape[1] or size[1] % shape[2]
    np.testing.assert_allclose(confidence, expected_CHW.max(0), atol=2e-5 if rounded else 1e-6)
    np.testing.assert_array_equal(argmax_label(logits_CHW, *size, align_corners), label)
    chosen = np.take_along_axis(expected_CHW, label[None].astype(np.int64), 0)[0]
    np.testing.assert_allclose(chosen, expected_CHW.max(0), atol=1e-5)  # another label only where two are level
    assert (label == expected_CHW.argmax(0)).mean() > 0.999


@pytest.mark.parametrize("stride", [4, 8, 16, 64])
@pytest.mark.parametrize("scale", [0.3, 1.5, 6, 30])
def test_confidence_is_exact_to_a_millionth(scale, stride):
    logits_CHW, size = some_logits((19, 16, 16), scale=scale), (16 * stride, 16 * stride)
    logits_1CHW = torch.from_numpy(logits_CHW.astype(np.float64))[None]
    exact = interpolate(logits_1CHW, size=size, mode="bilinear", align_corners=False).softmax(1)[0].amax(0)
    # What single precision loses grows with the logits; torch, in it, is off by as much.
    tolerance = 1e-6 * max(1, scale / 6)
    assert np.abs(label_and_confidence(logits_CHW, *size, False)[1] - exact.numpy()).max() < tolerance


def test_of_equal_logits_the_lowest_class_wins():
    label, confidence = label_and_confidence(np.zeros((5, 3, 4), np.float16), 24, 32, True)
    assert not label.any()
    np.testing.assert_array_equal(confidence, np.float32(0.2))


def test_confidence_saturates_at_one_and_survives_extreme_logits():
    logits_CHW = np.full((3, 2, 2), -60000, np.float16)
    logits_CHW[1] = 60000
    label, confidence = label_and_confidence(logits_CHW, 16, 16, False)
    assert (label == 1).all()
    assert (confidence == 1).all()


def test_bias_moves_the_decision_and_thresholds_drop():
    logits_CHW = some_logits((4, 6, 7))
    bias = np.array([0.0, 1.5, -0.5, 0.25], np.float32)
    thresholds = np.array([0.5, 0.2, 0.9, 0.3], np.float32)
    p_CHW = softmax_by_torch(logits_CHW, 48, 56, True)
    winner = (p_CHW * np.exp(bias)[:, None, None]).argmax(0)
    own = np.take_along_axis(p_CHW, winner[None], 0)[0]
    expected = np.where(own >= thresholds[winner], winner, 255)
    assert (thresholded_label(logits_CHW, 48, 56, True, bias, thresholds) == expected).mean() > 0.999


def test_without_bias_a_pixel_is_kept_exactly_where_its_confidence_reaches_the_threshold():
    logits_CHW = some_logits((5, 12, 13))
    label, confidence = label_and_confidence(logits_CHW, 96, 104, True)
    # The thresholds are confidences of pixels: the comparison has to hold to the last bit.
    thresholds = np.array([np.median(confidence[label == c]) for c in range(5)], np.float32)
    expected = np.where(confidence >= thresholds[label], label, 255)
    kept = thresholded_label(logits_CHW, 96, 104, True, np.zeros(5, np.float32), thresholds)
    np.testing.assert_array_equal(kept, expected)


def test_a_bias_may_put_a_class_first_whose_probability_is_nothing():
    logits_CHW = np.empty((3, 4, 4), np.float32)
    logits_CHW[:] = np.array([0, 100, 95])[:, None, None] + np.random.default_rng(0).normal(size=(3, 4, 4))
    bias = np.array([100, 0, 5], np.float32)
    p_CHW = softmax_by_torch(logits_CHW, 32, 32, False)
    full_1CHW = interpolate(torch.from_numpy(logits_CHW)[None], (32, 32), mode="bilinear")
    winner = (full_1CHW[0].numpy() + bias[:, None, None]).argmax(0)
    own = np.take_along_axis(p_CHW, winner[None], 0)[0]
    for threshold in (0.1, 0.9):
        expected = np.where(own >= threshold, winner, 255)
        kept = thresholded_label(logits_CHW, 32, 32, False, bias, np.full(3, threshold, np.float32))
        assert (kept == expected).mean() > 0.99


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("grid", "size"), [((20, 33), (160, 264)), ((21, 34), (151, 300)), ((9, 9), (37, 90))])
@pytest.mark.parametrize("scale", [1, 8, 40, 3000])
def test_thresholds_and_biases_agree_with_the_confidences_in_regions(grid, size, align_corners, scale):
    rng = np.random.default_rng(3)
    coarse = rng.normal(size=(6, 4, 5))
    rows, columns = (np.linspace(0, n - 1, m).round().astype(int) for n, m in zip((4, 5), grid, strict=True))
    logits_CHW = (scale * (coarse[:, rows][:, :, columns] + rng.normal(0, 0.05, (6, *grid)))).astype(np.float32)
    label, confidence = label_and_confidence(logits_CHW, *size, align_corners)
    np.testing.assert_array_equal(argmax_label(logits_CHW, *size, align_corners), label)
    full_1CHW = interpolate(torch.from_numpy(logits_CHW)[None], size, mode="bilinear", align_corners=align_corners)
    kept, full_CHW = 0, full_1CHW[0].numpy()
    for share in (0.05, 0.3, 0.9):
        thresholds = np.array([np.quantile(confidence[label == c], share) for c in range(6)], np.float32)
        label_of = partial(thresholded_label, logits_CHW, *size, align_corners, thresholds=thresholds)
        selected = label_of(bias=np.zeros(6, np.float32))
        np.testing.assert_array_equal(selected, np.where(confidence >= thresholds[label], label, 255))
        kept += np.count_nonzero(selected != 255)
        # A bias for all classes alike moves no decision, one for a single class moves some to it.
        np.testing.assert_array_equal(label_of(bias=np.full(6, 0.5, np.float32)), selected)
        bias = np.linspace(0, scale, 6, dtype=np.float32)
        winner = (full_CHW + bias[:, None, None]).argmax(0)
        own = np.take_along_axis(softmax_by_torch(logits_CHW, *size, align_corners), winner[None], 0)[0]
        assert (label_of(bias=bias) == np.where(own >= thresholds[winner], winner, 255)).mean() > 0.99
    assert 0 < kept < 3 * label.size


@pytest.mark.parametrize("seed", range(30))
def test_any_shape_agrees_with_torch(seed):
    rng = np.random.default_rng(seed)
    classes, height, width = rng.choice([1, 2, 5, 19, 60]), *rng.integers(1, 14, 2)
    size = tuple(max(1, int(side * rng.choice([1, 3, 4, 7.5, 8, 9.3, 16, 33]))) for side in (height, width))
    align_corners, scale = bool(rng.integers(2)), rng.choice([0.01, 0.5, 2, 5, 20])
    logits_CHW = (rng.normal(size=(classes, height, width)) * scale).astype(np.float16)
    label, confidence = label_and_confidence(logits_CHW, *size, align_corners)
    np.testing.assert_array_equal(argmax_label(logits_CHW, *size, align_corners), label)
    p_CHW = softmax_by_torch(logits_CHW, *size, align_corners)
    np.testing.assert_allclose(confidence, p_CHW.max(0), atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(p_CHW, label[None].astype(int), 0)[0], p_CHW.max(0), atol=1e-4)
    thresholds = np.array([np.quantile(confidence[label == c], 0.6) if c in label else 1 for c in range(classes)])
    thresholds = thresholds.astype(np.float32)
    kept = thresholded_label(logits_CHW, *size, align_corners, np.zeros(classes, np.float32), thresholds)
    np.testing.assert_array_equal(kept, np.where(confidence >= thresholds[label], label, 255))


def test_threads_do_not_disturb_each_other():
    images = [some_logits(seed=seed) for seed in range(12)]
    alone = [label_and_confidence(p, 64, 72, True) for p in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: label_and_confidence(p, 64, 72, True), images))
    for (a, b), (c, d) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_takes_any_memory_layout():
    logits_HWC = some_logits((8, 9, 5))
    plain = label_and_confidence(np.ascontiguousarray(logits_HWC.transpose(2, 0, 1)), 64, 72, True)
    for a, b in zip(plain, label_and_confidence(logits_HWC.transpose(2, 0, 1), 64, 72, True), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("logits_CHW", "message"),
    [
        (np.full((2, 2, 2), np.nan, np.float16), "NaN"),
        (np.full((2, 2, 2), np.inf, np.float32), "infinite"),
        (np.zeros((2, 2), np.float32), "expected float16 or float32"),
        (np.zeros((2, 2, 2), np.int32), "int32"),
        (np.zeros((2, 0, 2), np.float32), "expected float16 or float32"),
        (np.zeros((255, 1, 1), np.float32), "255 classes"),
    ],
)
def test_refuses_logits_of_another_kind(logits_CHW, message):
    with pytest.raises(UdasegError, match=message):
        label_and_confidence(logits_CHW, 8, 8, True)


def test_refuses_an_empty_size():
    with pytest.raises(UdasegError, match="0x8"):
        argmax_label(some_logits(), 0, 8, True)
