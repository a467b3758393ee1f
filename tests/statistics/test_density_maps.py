"""The density maps on tensors, against the NumPy version and the published values."""

import numpy as np
import pytest
import torch

from udaseg.statistics import depth_density, depth_grid
from udaseg.statistics.density_maps import DensityMaps, centres, nearest, squashed

from .test_depth_density import definition, table


def drawn(fitted, batch=3, seed=5):
    rng = np.random.default_rng(seed)
    depth_Nhw = rng.uniform(0.5, 400, (batch, *fitted.grid)).astype(np.float32)
    return depth_Nhw, rng.integers(0, len(fitted.classes), depth_Nhw.shape)


def test_equals_the_density_of_the_class_at_every_place():
    fitted = table()
    depth_Nhw, classes_Nhw = drawn(fitted)
    out_Nhw = DensityMaps(fitted).density(torch.from_numpy(classes_Nhw), torch.from_numpy(depth_Nhw)).numpy()
    assert out_Nhw.dtype == np.float32
    for own_hw, classes_hw, depth_hw in zip(out_Nhw, classes_Nhw, depth_Nhw, strict=True):
        for every_Chw in (depth_density.density(fitted, depth_hw), definition(fitted, depth_hw)):
            expected_hw = np.take_along_axis(every_Chw, classes_hw[None], 0)[0]
            np.testing.assert_allclose(own_hw, expected_hw, rtol=1e-5, atol=1e-14)
    assert (out_Nhw > 1e-9).mean() > 0.1


def test_needles_and_absent_classes():
    fitted = table(classes=2, components=2)
    fitted.means[0, :, 2], fitted.variances[0, :, 2] = (1.0, 65536.0), 1e-6
    fitted.weights[1], fitted.means[1], fitted.variances[1] = 0, 0, 1
    maps, sky = DensityMaps(fitted), torch.zeros((1, *fitted.grid), dtype=torch.int64)
    for value in (1.0, 1.001, 0.998, 65536.0):
        depth_hw = np.full(fitted.grid, value, np.float32)
        expected_hw = definition(fitted, depth_hw)[0]
        found_hw = maps.density(sky, torch.from_numpy(depth_hw)[None])[0].numpy()
        np.testing.assert_allclose(found_hw, expected_hw, rtol=1e-5, atol=1e-14)
    assert maps.density(sky, torch.full((1, *fitted.grid), 1.02)).max() < 1e-30
    assert maps.density(sky + 1, torch.ones((1, *fitted.grid))).max() == 0


def test_squashed_to_the_published_values():
    published = torch.tensor([1.549978e-6, 1.720855e-6, 9.503e-8, 1.974e-8, 4.512e-6, 0.1901, 0.0])
    expected = torch.tensor([200.876, 209.377, 23.117, 4.985, 252.201, 255, 0])
    torch.testing.assert_close(squashed(published), expected, rtol=0, atol=2e-3)


def test_a_finer_grid_sees_the_same_picture():
    fitted = table(grid=(12, 20))
    assert centres(20, 20).tolist() == list(range(20))
    assert centres(4, 2).tolist() == [-0.25, 0.25, 0.75, 1.25]
    maps = DensityMaps(fitted)
    coarse_hw = maps.density(torch.zeros((1, 12, 20), dtype=torch.int64), torch.full((1, 12, 20), 100.0))[0]
    fine_hw = maps.density(torch.zeros((1, 36, 60), dtype=torch.int64), torch.full((1, 36, 60), 100.0))[0]
    torch.testing.assert_close(fine_hw[1::3, 1::3], coarse_hw)
    whole = fine_hw.reshape(12, 3, 20, 3).mean((1, 3))
    torch.testing.assert_close(whole, coarse_hw, rtol=0.02, atol=float(coarse_hw.max()) / 100)


def test_nearest_is_that_of_the_numpy_version():
    image = torch.arange(2 * 76 * 128).reshape(2, 76, 128)
    for grid in ((10, 17), (76, 128), (96, 161)):
        expected = np.stack([depth_grid.to_grid(one.numpy(), grid) for one in image])
        assert np.array_equal(nearest(image, grid).numpy(), expected)


def logits_of(classes_Nhw, count):
    return torch.nn.functional.one_hot(classes_Nhw, count).permute(0, 3, 1, 2).float() * 5


def test_the_map_of_the_source_is_that_of_the_predicted_class_at_the_true_depth():
    fitted = table()
    depth_Nhw, classes_Nhw = (torch.from_numpy(one) for one in drawn(fitted))
    label_Nhw = classes_Nhw.clone()
    label_Nhw[:, :5] = (label_Nhw[:, :5] + 1) % 4  # predicted wrongly
    label_Nhw[:, 5] = 255
    depth_Nhw[:, 3:9] = 0  # not known
    logits = logits_of(classes_Nhw, 4).requires_grad_()
    maps = DensityMaps(fitted)
    map_Nhw, counts_Nhw = maps.source(logits, label_Nhw.to(torch.uint8), depth_Nhw)
    assert not map_Nhw.requires_grad
    at_truth, at_zero = (squashed(maps.density(classes_Nhw, one)) for one in (depth_Nhw, torch.zeros_like(depth_Nhw)))
    assert torch.equal(map_Nhw[:, 6:], at_truth[:, 6:])
    assert torch.equal(map_Nhw[:, :6], at_zero[:, :6])
    assert counts_Nhw[:, :6].all()
    assert not counts_Nhw[:, 6:9].any()
    assert counts_Nhw[:, 9:].all()


def test_the_map_of_the_target_is_that_of_the_predicted_class_at_the_predicted_depth():
    fitted = table()
    depth_Nhw, classes_Nhw = (torch.from_numpy(one) for one in drawn(fitted))
    depth_Nhw[:, :4] *= -1
    depth_Nhw[:, 4] = 0
    depth_Nhw.requires_grad_()
    map_Nhw = DensityMaps(fitted).target(logits_of(classes_Nhw, 4), depth_Nhw)
    assert not map_Nhw.requires_grad
    assert not map_Nhw[:, :5].any()
    expected = squashed(DensityMaps(fitted).density(classes_Nhw, depth_Nhw))
    assert torch.equal(map_Nhw[:, 5:], expected[:, 5:])


@pytest.mark.parametrize("type_", [torch.bfloat16, torch.float64])
def test_other_number_formats(type_):
    fitted = table()
    classes_Nhw = torch.zeros((1, *fitted.grid), dtype=torch.int64)
    out = DensityMaps(fitted).density(classes_Nhw, torch.full((1, *fitted.grid), 128.0, dtype=type_))
    assert out.dtype == torch.float32
    expected = depth_density.density(fitted, np.full(fitted.grid, 128, np.float32))[0]
    np.testing.assert_allclose(out[0].numpy(), expected, rtol=1e-5, atol=1e-14)
