"""ClassMix and the strong view: the pasted pixels, their weights, and that chance depends on the generator alone."""

import colorsys

import numpy as np
import pytest
import torch

from udaseg.config import Strong
from udaseg.data.batches import Batch
from udaseg.train.ingredients.classmix import draw_mask, paste
from udaseg.train.ingredients.strong import strong_view


def rng(seed=0):
    return np.random.default_rng(seed)


def images(seed, count=3):
    return torch.from_numpy(rng(seed).integers(0, 256, (count, 6, 8, 3), np.uint8))


def labels(seed, classes, count=3):
    return torch.from_numpy(rng(seed).choice(np.array(classes, np.uint8), (count, 6, 8)))


@pytest.mark.parametrize(("classes", "drawn"), [([4], 1), ([4, 255], 1), ([0, 2, 4, 255], 2), ([0, 1, 2, 3, 255], 2)])
def test_half_of_the_classes_of_an_image_are_drawn_rounded_up_and_never_the_unlabelled(classes, drawn):
    label = labels(1, classes)
    found = [draw_mask(label, 3, rng(seed)) for seed in range(50)]
    for masks in found:
        for mask, own in zip(masks, label, strict=True):
            taken = own[mask].unique()
            assert len(taken) == drawn
            assert 255 not in taken
            assert torch.equal(mask, torch.isin(own, taken))
    assert {int(value) for masks in found for value in label[masks].unique()} == set(classes) - {255}


def test_of_a_picture_without_labels_nothing_is_draw_mask():
    assert not draw_mask(labels(1, [255]), 3, rng()).any()


def test_the_mixed_image_is_the_source_where_pasted_and_the_target_elsewhere():
    batch = Batch(
        source_image=images(1, count=2),
        source_label=labels(2, [0, 1, 2, 255], count=2),
        target_image=images(3),
        target_label=labels(4, [0, 1, 2, 255]),
        target_pixels=torch.full((3, 6, 8), 0.25),
        target_valid=torch.zeros(3, 6, 8, dtype=torch.bool),
    )
    mask = draw_mask(batch["source_label"], 3, rng())
    assert torch.equal(batch["source_label"][[0, 1, 0]][mask] != 255, torch.ones(int(mask.sum()), dtype=torch.bool))
    out = paste(batch, mask)
    for part in ("image", "label"):
        source, target = batch[f"source_{part}"][[0, 1, 0]], batch[f"target_{part}"]
        assert torch.equal(out[f"target_{part}"][mask], source[mask])
        assert torch.equal(out[f"target_{part}"][~mask], target[~mask])
        assert torch.equal(out[f"source_{part}"], batch[f"source_{part}"])
    assert out["target_pixels"][mask].unique().tolist() == [1.0]
    assert out["target_pixels"][~mask].unique().tolist() == [0.25]
    assert torch.equal(out["target_valid"], mask)
    assert batch["target_pixels"].unique().tolist() == [0.25]


def test_a_strong_view_is_a_function_of_its_generator():
    target = images(1)
    settings = Strong(jitter=0.5, blur=0.5)
    view = strong_view(target, settings, rng(7))
    assert (view.dtype, view.shape) == (torch.uint8, target.shape)
    assert torch.equal(view, strong_view(target, settings, rng(7)))
    assert not torch.equal(view, strong_view(target, settings, rng(8)))
    assert torch.equal(strong_view(target, Strong(jitter=0.0, blur=0.0), rng(7)), target)


def test_a_strong_view_of_a_padded_image_is_that_of_the_image():
    target, settings = images(1), Strong(jitter=0.5, blur=0.0)
    height, width = target.shape[1:3]
    padded = torch.nn.functional.pad(target, (0, 0, 0, 2 * width, 0, height))
    valid = torch.zeros(padded.shape[:3], dtype=torch.bool)
    valid[:, :height, :width] = True
    view = strong_view(padded, settings, rng(7), valid)
    assert torch.equal(view[:, :height, :width], strong_view(target, settings, rng(7)))
    assert not view[~valid].any()
    nothing = strong_view(padded, settings, rng(7), torch.zeros_like(valid))
    assert not nothing.any()


def test_blur_moves_no_colour_and_jitter_no_place():
    flat = torch.full((2, 16, 16, 3), 90, dtype=torch.uint8)
    assert torch.equal(strong_view(flat, Strong(jitter=0.0, blur=1.0), rng()), flat)
    halves = flat.clone()
    halves[:, :, 8:] = 200
    for view in strong_view(halves, Strong(jitter=0.4, blur=0.0), rng()):
        assert len(view.reshape(-1, 3).unique(dim=0)) == 2
        assert not torch.equal(view[0, 0], view[0, 15])


DACS = Strong(jitter=0.2, hue=0.2, probability=0.8, method="dacs", blur=0.0)


def as_dacs(image, values, order):
    """Change an image as DACS does, pixel by pixel: brightness, contrast, saturation and hue by their values."""

    def in_hsv(pixel):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        return h, s, v

    def change(pixel, index):
        if index == 0:
            return [min(max(part + values[0], 0), 1) for part in pixel]
        if index == 1:
            return [min(max(part * (1 + values[1]), 0), 1) for part in pixel]
        h, s, v = in_hsv(pixel)
        if index == 2:
            return colorsys.hsv_to_rgb(h, min(s * (1 + values[2]), 1), v)
        return colorsys.hsv_to_rgb((h + values[3]) % 1, s, v)

    pixels = []
    for pixel in image.reshape(-1, 3) / 255:
        for index in order:
            pixel = change(pixel, index)
        pixels.append(pixel)
    return np.array(pixels).reshape(image.shape) * 255


def test_the_strong_view_of_dacs_is_that_of_its_formulas():
    target = images(1, count=12)
    view = strong_view(target, DACS, rng(7))
    values, orders = rng(7), rng(7).spawn(1)[0]
    changed = 0
    for before, after in zip(target.numpy(), view.numpy(), strict=True):
        changes, _, _ = values.uniform(-1, 1, 4), values.random(), values.uniform(0.15, 1.15)
        draw, order = orders.random(), orders.permutation(4)
        expected = as_dacs(before, 0.2 * changes, order) if draw < 0.8 else before
        assert np.abs(after - expected).max() <= 0.51
        changed += draw < 0.8
    assert 6 <= changed < 12


def test_colours_change_with_their_probability():
    target = images(1, count=400)
    for method in ("torchvision", "dacs"):
        view = strong_view(target, DACS.model_copy(update={"method": method}), rng())
        share = (view != target).flatten(1).any(1).float().mean().item()
        assert abs(share - 0.8) < 3 * (0.8 * 0.2 / 400) ** 0.5


@pytest.mark.parametrize("method", ["torchvision", "dacs"])
def test_hue_changes_by_turns_and_leaves_grey_as_it_is(method):
    red = torch.tensor([[[[255, 0, 0], [90, 90, 90]]]], dtype=torch.uint8).expand(200, 1, 2, 3)
    view = strong_view(red, Strong(jitter=0.0, hue=0.2, method=method, blur=0.0), rng())
    assert (view[:, 0, 1] == 90).all()
    turns = [colorsys.rgb_to_hsv(*pixel)[0] for pixel in (view[:, 0, 0] / 255).tolist()]
    turns = np.array([turn - (turn > 0.5) for turn in turns])
    assert np.abs(turns).max() <= 0.201
    assert turns.min() < -0.18
    assert turns.max() > 0.18
    assert abs(turns.mean()) < 0.03


def test_the_number_of_random_values_depends_on_no_setting():
    after = []
    for settings in (Strong(), DACS, Strong(jitter=0.0, blur=0.0), Strong(probability=0.0)):
        generator = rng(3)
        strong_view(images(1), settings, generator)
        after.append((generator.random(), generator.spawn(1)[0].random()))
    assert len(set(after)) == 1
