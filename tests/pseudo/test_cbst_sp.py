"""Labels with a spatial prior: the fused kernel against arrays at full size, and what a prior must and must not do."""

import numpy as np
import pytest
import torch

from udaseg.errors import UdasegError
from udaseg.inference import confidence
from udaseg.pseudo.policies import cbst_sp

C, H, W = 5, 60, 1100  # wider than two blocks of columns, and no multiple of one


def some_logits(seed=0):
    return (np.random.default_rng(seed).normal(size=(C, 8, 140)) * 3).astype(np.float16)


def some_prior(seed=1, size=(7, 33)):
    return np.random.default_rng(seed).random((C, *size), np.float32)


def product(logits_CHW, prior_CHW, align_corners):
    """Multiply prior and probability at full size, as the formula says."""
    size = {"size": (H, W), "mode": "bilinear"}
    prior_1CHW = torch.nn.functional.interpolate(torch.from_numpy(prior_CHW)[None], **size, align_corners=False)
    logits_1CHW = torch.from_numpy(logits_CHW.astype(np.float32))[None]
    logits_1CHW = torch.nn.functional.interpolate(logits_1CHW, **size, align_corners=align_corners)
    return (prior_1CHW * logits_1CHW.softmax(1))[0].numpy()


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(7, 33), (1, 1), (60, 1100), (90, 1300)])
def test_follows_the_formula(align_corners, size):
    logits_CHW, prior_CHW = some_logits(), some_prior(size=size)
    weight = np.array([1, 0.5, 0.2, 0.7, 0.9], np.float32)
    scores_CHW = product(logits_CHW, prior_CHW, align_corners)
    weighted_CHW = scores_CHW * weight[:, None, None]
    label, value = cbst_sp.label_and_confidence(logits_CHW, H, W, align_corners, prior_CHW, weight)
    best, second = np.sort(weighted_CHW, axis=0)[[-1, -2]]
    clear = best - second > 1e-3 * best  # of nearly equal scores either may win
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(label[clear], weighted_CHW.argmax(0)[clear])
    own = np.take_along_axis(scores_CHW, label[None].astype(int), 0)[0]
    np.testing.assert_allclose(value, own, rtol=5e-4)  # torch rounds places differently

    thresholds = np.array([0.3, 0.05, 0.6, 0.2, 0.4], np.float32)
    chosen = cbst_sp.thresholded_label(logits_CHW, H, W, align_corners, prior_CHW, thresholds)
    ratios_CHW = scores_CHW / thresholds[:, None, None]
    best, second = np.sort(ratios_CHW, axis=0)[[-1, -2]]
    clear = (best - second > 1e-3 * best) & (np.abs(best - 1) > 1e-3)
    np.testing.assert_array_equal(chosen[clear], np.where(best >= 1, ratios_CHW.argmax(0), 255)[clear])


def test_a_prior_that_says_nothing_changes_nothing():
    ones_CHW, ones = np.ones((C, 7, 33), np.float32), np.ones(C, np.float32)
    for seed in range(3):
        logits_CHW = some_logits(seed)
        label, value = confidence.label_and_confidence(logits_CHW, H, W, True)
        own_label, own_value = cbst_sp.label_and_confidence(logits_CHW, H, W, True, ones_CHW, ones)
        np.testing.assert_array_equal(own_label, label)
        np.testing.assert_allclose(own_value, value, atol=1e-4)  # places are rounded otherwise


def test_a_threshold_that_is_a_confidence_keeps_its_pixel():
    logits_CHW, prior_CHW = some_logits(), some_prior()
    label, value = cbst_sp.label_and_confidence(logits_CHW, H, W, False, prior_CHW, np.ones(C, np.float32))
    thresholds = np.full(C, np.sort(value, axis=None)[-500], np.float32)
    kept = cbst_sp.thresholded_label(logits_CHW, H, W, False, prior_CHW, thresholds)
    assert (kept != 255).sum() == (value >= thresholds[0]).sum() >= 500
    np.testing.assert_array_equal(kept[kept != 255], label[kept != 255])


def test_a_class_is_only_where_its_prior_is():
    prior_CHW = np.ones((C, 6, 11), np.float32)
    prior_CHW[2] = 0
    prior_CHW[2, 0, 0] = 1  # a corner: the first cell is 10x100 pixels, half a cell more is between it and the next
    prior_CHW[4] = 0
    logits_CHW = np.zeros((C, 8, 140), np.float16)
    logits_CHW[[2, 4]] = 8
    label, _ = cbst_sp.label_and_confidence(logits_CHW, H, W, False, prior_CHW, np.ones(C, np.float32))
    assert not (label == 4).any()
    rows, columns = np.nonzero(label == 2)
    assert (rows.min(), columns.min()) == (0, 0)
    assert rows.max() < 15
    assert columns.max() < 150
    assert (label[:5, :50] == 2).all()


def test_where_no_class_may_be_there_is_no_label():
    prior_CHW = np.ones((C, 6, 11), np.float32)
    prior_CHW[:, :3] = 0
    label, value = cbst_sp.label_and_confidence(some_logits(), H, W, True, prior_CHW, np.ones(C, np.float32))
    assert (label[:25] == 255).all()
    assert (value[:25] == 0).all()
    assert (label[35:] != 255).all()
    tiny = np.full(C, 1e-6, np.float32)
    assert (cbst_sp.thresholded_label(some_logits(), H, W, True, prior_CHW, tiny)[:25] == 255).all()


def test_refuses_a_prior_of_other_classes():
    with pytest.raises(UdasegError, match=r"\[4, 2, 2\] for logits of 5 classes"):
        cbst_sp.label_and_confidence(some_logits(), H, W, True, np.ones((4, 2, 2), np.float32), np.ones(4))
