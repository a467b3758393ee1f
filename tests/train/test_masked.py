"""Masked image consistency: which pixels are hidden, in what colour, and what the student learns of them."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from udaseg.config import Retrain
from udaseg.data.batches import Batch
from udaseg.errors import UdasegError
from udaseg.models.colors import CONVENTIONS, mean_color, normalise
from udaseg.train.ingredients import Networks, batch_teacher, choose_ingredients
from udaseg.train.ingredients.masked import draw_blocks, hide


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_share_of_hidden_blocks_is_the_ratio_on_average():
    """64 blocks an image, as MIC has for crops of 512 pixels with blocks of 64."""
    hidden_NHW = draw_blocks((1000, 64, 64), 8, 0.7, rng())
    assert hidden_NHW.mean() == pytest.approx(0.7, abs=0.006)
    blocks = hidden_NHW.reshape(1000, 8, 8, 8, 8)
    assert (blocks.all((2, 4)) == blocks.any((2, 4))).all()
    shares = blocks[:, :, 0, :, 0].mean((1, 2))
    assert shares.std() == pytest.approx(0.057, abs=0.006)


def test_blocks_cover_images_that_are_no_multiple_of_them():
    hidden_NHW = draw_blocks((2, 30, 49), 16, 0.5, rng(1))
    assert hidden_NHW.shape == (2, 30, 49)
    rows = [len(np.unique(image_HW, axis=0)) for image_HW in hidden_NHW]
    assert max(rows) == 2  # 30 / 16 and 49 / 16, rounded
    assert np.unique(np.diff(hidden_NHW[0].astype(int), axis=1).nonzero()[1]).tolist() == [16, 32]


def test_without_a_share_nothing_is_hidden():
    assert not draw_blocks((3, 32, 32), 16, 0.0, rng()).any()


def test_a_block_that_is_larger_than_the_image_is_refused_with_one_that_fits():
    with pytest.raises(UdasegError, match=r"blocks of 33 pixels, and the images have 32x64") as caught:
        draw_blocks((1, 32, 64), 33, 0.7, rng())
    assert caught.value.hint == "set retrain.masked.block=8"
    assert draw_blocks((1, 32, 64), 8, 0.7, rng()).any()


@pytest.mark.parametrize("color", CONVENTIONS)
def test_the_network_sees_hidden_pixels_as_zero(color):
    images_NHWC = torch.full((1, 2, 2, 3), 7, dtype=torch.uint8)
    hidden_NHW = torch.tensor([[[True, False], [False, False]]])
    seen_N3HW = normalise(hide(images_NHWC, hidden_NHW, color), color)
    assert seen_N3HW[:, :, 0, 0].abs().max() * min(CONVENTIONS[color].std) <= 0.5
    assert torch.equal(seen_N3HW[:, :, 1], normalise(images_NHWC, color)[:, :, 1])


def test_the_colours_of_two_conventions():
    assert mean_color("rgb-imagenet") == (124, 116, 104)
    assert mean_color("bgr-mean") == (123, 117, 104)


# --- the pass


def batch() -> Batch:
    draw, parts = rng(3), {}
    for domain in ("source", "target"):
        parts[f"{domain}_image"] = torch.from_numpy(draw.integers(0, 256, (2, 32, 48, 3), np.uint8))
        parts[f"{domain}_label"] = torch.from_numpy(draw.integers(0, 3, (2, 32, 48), np.uint8))
    valid_NHW = torch.ones(2, 32, 48, dtype=torch.bool)
    valid_NHW[:, :, 40:] = False
    parts["target_label"][~valid_NHW] = 255
    parts["target_image"][~valid_NHW] = 0
    return Batch(parts | {"target_valid": valid_NHW, "target_pixels": torch.from_numpy(draw.random((2, 32, 48)))})


def prepared(number=5, **settings):
    chosen = Retrain(**settings)
    return batch_teacher(choose_ingredients(chosen), chosen, Networks(None, "rgb-imagenet", nullcontext), 3)(
        number, batch()
    )


def test_the_pass_has_the_targets_own_image_and_labels_without_what_is_pasted():
    out, prepared_batch = batch(), prepared(masked={"block": 8, "weight": 0.5}, classmix=True)
    (further,) = prepared_batch.passes
    image_NHWC = further.batch["masked_image"]
    grey = torch.tensor(mean_color("rgb-imagenet"), dtype=torch.uint8)
    hidden_NHW = (image_NHWC == grey).all(-1)
    assert 0.3 < hidden_NHW[:, :, :40].float().mean() < 0.95
    assert torch.equal(image_NHWC[~hidden_NHW], out["target_image"][~hidden_NHW])
    assert not image_NHWC[~out["target_valid"]].any()
    assert torch.equal(further.batch["masked_label"], out["target_label"])
    assert torch.equal(further.batch["masked_pixels"], out["target_pixels"])
    assert further.weight == 0.5


def test_a_masked_pass_leaves_all_else_in_the_step_as_it_is():
    """So that a run without it differs from one with it in nothing else."""
    settings = {"classmix": True, "strong": {"jitter": 0.5}}
    plain, masked = prepared(**settings).batch, prepared(masked={"block": 8}, **settings).batch
    assert all(torch.equal(value, masked[name]) for name, value in plain.items())


def test_the_masked_view_is_a_function_of_seed_and_step_and_its_colours_are_its_own():
    def image(**settings):
        return prepared(**settings).passes[0].batch["masked_image"]

    hidden, strong = {"block": 8}, {"jitter": 0.5, "blur": 0.0}
    coloured = image(masked=hidden, strong=strong)
    assert torch.equal(coloured, image(masked=hidden, strong=strong))
    assert not torch.equal(coloured, image(masked=hidden, strong=strong, number=6))
    plain = image(masked=hidden)
    assert torch.equal(plain, image(masked=hidden | {"strong": False}, strong=strong))
    grey = torch.tensor(mean_color("rgb-imagenet"), dtype=torch.uint8)
    hidden_NHW = (plain == grey).all(-1)
    assert torch.equal(coloured[hidden_NHW], plain[hidden_NHW])
    assert not torch.equal(coloured, plain)
    whole = image(masked={"block": 8, "ratio": 0.0}, strong=strong)
    assert not torch.equal(whole, prepared(masked=hidden, strong=strong).batch["target_image"])
