"""Sliding windows: where they lie, and the average of the maps of all windows."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from udaseg.models.windows import Box, average_windows, infer_windows, split_image


def lefts(side: int, window: int, stride: int) -> list[int]:
    return [box.left for box in split_image((window, side), (window, window), (stride, stride))]


@pytest.mark.parametrize(
    ("side", "expected"),
    [(1914, [0, 512, 890]), (2048, [0, 512, 1024]), (1024, [0]), (1025, [0, 1]), (1536, [0, 512]), (700, [0])],
)
def test_the_last_window_is_moved_back_to_fit(side, expected):
    assert lefts(side, 1024, 512) == expected


def test_windows_of_an_image_are_in_rows_and_half_a_window_apart_by_default():
    assert split_image((96, 100), (64, 64)) == [
        Box(0, 0, 64, 64), Box(0, 32, 64, 64), Box(0, 36, 64, 64),
        Box(32, 0, 64, 64), Box(32, 32, 64, 64), Box(32, 36, 64, 64),
    ]  # fmt: skip
    assert split_image((96, 100), None) == [Box(0, 0, 96, 100)]


def test_a_window_is_no_larger_than_the_image():
    assert split_image((40, 50), (64, 64)) == [Box(0, 0, 40, 50)]
    assert split_image((40, 100), (64, 64)) == [Box(0, 0, 40, 64), Box(0, 32, 40, 64), Box(0, 36, 40, 64)]


def average(infer, image, window, stride=None, align_corners=False):
    boxes = split_image(image.shape[-2:], window, stride)
    maps = ([infer(box.crop(image))] for box in boxes)
    (mean,) = average_windows(maps, boxes, image.shape[-2:], align_corners)
    return mean


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(64, 191), (102, 128), (90, 90), (32, 40)])
def test_a_constant_network_gives_a_constant_map_whatever_the_windows(size, align_corners):
    def constant(image):
        return torch.full((len(image), 2, *(-(-side // 4) for side in image.shape[-2:])), 0.7)

    for window, stride in (((64, 64), None), ((50, 70), (13, 70)), ((33, 37), (33, 5)), ((200, 200), None)):
        mean = average(constant, torch.zeros(2, 3, *size), window, stride, align_corners)
        torch.testing.assert_close(mean, torch.full_like(mean, 0.7), rtol=0, atol=1e-6)


def cells(image: torch.Tensor) -> torch.Tensor:
    """Return the means of 4x4 pixels: a network of stride 4 that sees nothing around a cell."""
    return avg_pool2d(image, 4)


@pytest.mark.parametrize(("window", "stride"), [((32, 32), None), ((32, 48), (8, 20)), ((64, 96), None)])
def test_a_network_that_looks_no_farther_than_its_cells_has_the_same_map_in_windows(window, stride):
    image = torch.rand(2, 3, 64, 96)
    torch.testing.assert_close(average(cells, image, window, stride), cells(image), rtol=0, atol=1e-6)
    in_one_batch = infer_windows(cells, image, split_image((64, 96), window, stride), False)
    torch.testing.assert_close(in_one_batch, cells(image), rtol=0, atol=1e-6)


def test_maps_are_averaged_by_the_number_of_windows():
    """The 0th, 1st and 2nd window have the values 0, 1 and 2; over 2048 columns the middle half is covered twice."""
    calls = iter(range(3))
    mean = average(lambda x: torch.full((1, 1, 64, 64), float(next(calls))), torch.zeros(1, 1, 256, 512), (256, 256))
    assert mean[0, 0, 0].tolist() == [0.0] * 32 + [0.5] * 32 + [1.5] * 32 + [2.0] * 32


def test_windows_that_begin_between_cells_are_sampled_at_the_positions_of_the_grid():
    """A network that returns the position of each pixel has it, averaged, at each position of the grid."""
    columns = torch.arange(190.0).expand(1, 1, 64, 190)
    mean = average(cells, columns, (64, 64))  # the last window begins at 126
    assert mean.shape == (1, 1, 16, 48)
    expected = (np.arange(48) + 0.5) * 190 / 48 - 0.5
    inner = slice(1, 47)  # a window has no cell beyond its own
    assert np.abs(mean[0, 0, 0, inner].numpy() - expected[inner]).max() < 0.6
    ends = average(
        lambda x: interpolate(x, (17, 17), mode="bilinear", align_corners=True), columns, (64, 64), None, True
    )
    assert ends.shape[-1] == 49
    assert np.abs(ends[0, 0, 0].numpy() - np.arange(49) * 189 / 48).max() <= 0.25  # at the edge of a window


def test_the_average_equals_that_of_maps_at_full_size_but_beside_the_borders_of_windows():
    """Maps enlarged to the pixels of their window and averaged there, as the published code does it."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 2, 8, stride=4, padding=2)
    image, total, count = torch.rand(1, 3, 64, 128), torch.zeros(1, 2, 64, 128), torch.zeros(64, 128)
    with torch.no_grad():
        mean = interpolate(average(network, image, (64, 64)), (64, 128), mode="bilinear")
        for box in split_image((64, 128), (64, 64)):
            box.crop(total).add_(interpolate(network(box.crop(image)), (64, 64), mode="bilinear"))
            box.crop(count).add_(1)
    difference = (mean - total / count).abs().amax((0, 1, 2))
    is_near_border = torch.tensor(
        [min(abs(x + 0.5 - border) for border in (0, 32, 64, 96, 128)) < 2 for x in range(128)]
    )
    assert difference[~is_near_border].max() < 1e-6
    assert difference[is_near_border].max() > 1e-4
