"""FDA against its definition: two full FFTs, a swapped window, one inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udaseg.data.style import fda
from udaseg.data.style.dataset import random_restyle
from udaseg.errors import UdasegError

SIZES = [(4, 4), (5, 7), (6, 8), (8, 5), (10, 3), (64, 128), (66, 40), (63, 130), (131, 239), (96, 800)]


def definition(source_HWC, target_HWC, bu, bv):
    """Swap the centred window of the amplitudes, rows and columns inclusive, in float64."""
    source = np.fft.fft2(source_HWC.astype(np.float64), axes=(0, 1))
    target = np.fft.fft2(target_HWC.astype(np.float64), axes=(0, 1))
    amplitude = np.fft.fftshift(np.abs(source), (0, 1))
    other = np.fft.fftshift(np.abs(target), (0, 1))
    row, column = source.shape[0] // 2, source.shape[1] // 2
    window = slice(row - bu, row + bu + 1), slice(column - bv, column + bv + 1)
    amplitude[window] = other[window]
    swapped = np.fft.ifftshift(amplitude, (0, 1)) * np.exp(1j * np.angle(source))
    mixed = np.fft.ifft2(swapped, axes=(0, 1))
    assert np.abs(mixed.imag).max() < 1e-9
    return mixed.real


def noise(size, seed, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (*size, 3), dtype=np.uint8)


def image(size, seed):
    """Smooth over many scales, as photographs are."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((*size, 3)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None, None], np.fft.rfftfreq(size[1])[None, :, None])
    image = np.fft.irfft2(spectrum / (frequency + 0.002), s=size, axes=(0, 1))
    return ((image - image.min()) * 255 / np.ptp(image)).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("beta", [0.01, 0.1, 0.3, 0.499])
@pytest.mark.parametrize("window", ["square", "rect"])
def test_equals_the_definition(size, beta, window):
    source, target = noise(size, 0), noise(size, 1, 20, 200)
    style = fda.low_band(target, beta, window)
    expected = definition(source, target, *fda.half_width(*size, beta, window))
    out = fda.transfer(source, style)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, atol=1e-3, rtol=0)
    levels = fda.stylize(source, style)
    assert levels.dtype == np.uint8
    clipped = np.clip(expected, 0, 255)
    assert np.abs(levels - clipped).max() <= 0.5 + 1e-3


def test_a_large_image_equals_the_definition():
    source, target = image((526, 957), 0), image((526, 957), 1)
    style = fda.low_band(target, 0.1)
    expected = definition(source, target, 52, 52)
    assert np.abs(fda.transfer(source, style) - expected).max() < 1e-3
    different = fda.stylize(source, style) != np.rint(np.clip(expected, 0, 255))
    assert different.mean() < 1e-4


def test_worked_example():
    # The target of the published example, (15 - k)^2 / 10, is not of whole grey levels: here ten times as bright.
    source = np.arange(16, dtype=np.float64).reshape(4, 4)
    target = (15 - source) ** 2
    np.testing.assert_allclose(definition(source[..., None], target[..., None] / 10, 0, 0)[..., 0], source + 0.25)
    bright = np.clip(target, 0, 255).astype(np.uint8)[..., None]
    style = fda.low_band(bright, 0.25)
    tenth = fda.LowBand(style.amplitude / 10, style.size, style.beta, style.window)
    expected = [
        [-0.863, -1.463, -1.0563, 1.5437],
        [1.537, 2.537, 4.5437, 5.5437],
        [8.3563, 10.9563, 14.563, 13.963],
        [13.9563, 14.9563, 16.963, 17.963],
    ]
    out = fda.transfer(source.astype(np.uint8)[..., None], tenth)
    np.testing.assert_allclose(out[..., 0], expected, atol=6e-4)


def test_own_style_and_beta_zero_change_nothing():
    source = noise((48, 96), 0)
    np.testing.assert_allclose(fda.transfer(source, fda.low_band(source, 0.1)), source, atol=1e-3)
    identity = fda.low_band(noise((48, 96), 1), 0.0)
    np.testing.assert_array_equal(fda.transfer(source, identity), source.astype(np.float32))
    np.testing.assert_array_equal(fda.stylize(source, identity), source)


@given(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    beta=st.floats(1e-3, 0.499),
    window=st.sampled_from(["square", "rect"]),
)
@settings(max_examples=60, deadline=None)
def test_mean_and_amplitudes_are_the_targets_phase_is_the_sources(height, width, beta, window):
    source, target = noise((height, width), 3), noise((height, width), 4, 0, 90)
    out = fda.transfer(source, fda.low_band(target, beta, window)).astype(np.float64)
    np.testing.assert_allclose(out.mean(axis=(0, 1)), target.mean(axis=(0, 1)), atol=1e-3)
    bu, bv = fda.half_width(height, width, beta, window)
    rows, columns = np.abs(np.fft.fftfreq(height, 1 / height)), np.abs(np.fft.fftfreq(width, 1 / width))
    inside = (rows[:, None] <= bu) & (columns[None] <= bv)
    of_out, of_source, of_target = (np.fft.fft2(image, axes=(0, 1)) for image in (out, source, target))
    tolerance = 1e-3 * height * width
    np.testing.assert_allclose(np.abs(of_out)[inside], np.abs(of_target)[inside], atol=tolerance)
    np.testing.assert_allclose(of_out[~inside], of_source[~inside], atol=tolerance)
    turn = of_out * np.conj(of_source)
    assert np.all(turn.real >= -tolerance * np.abs(of_source))


def test_checkerboard_survives():
    plain = noise((32, 48), 1, 0, 200)
    board = plain + (np.indices((32, 48)).sum(axis=0) % 2 * 40).astype(np.uint8)[..., None]
    style = fda.low_band(noise((32, 48), 0), 0.45)
    difference = fda.transfer(board, style) - fda.transfer(plain, style)
    difference -= difference.mean()
    np.testing.assert_allclose(np.abs(difference), 20, atol=1e-3)


def test_a_flat_image_takes_a_defined_style():
    target = image((48, 96), 2)
    out = fda.transfer(np.full((48, 96, 3), 77, np.uint8), fda.low_band(target, 0.1))
    np.testing.assert_allclose(out.mean(axis=(0, 1)), target.mean(axis=(0, 1)), atol=1e-3)
    np.testing.assert_allclose(out[0, 0], out.max(axis=(0, 1)), atol=1e-3)  # every cosine starts at phase 0
    flat = fda.low_band(np.full((48, 96, 3), 77, np.uint8), 0.1)
    assert np.count_nonzero(flat.amplitude) == 3


def test_half_width():
    assert [fda.half_width(512, 1024, beta)[0] for beta in (0.01, 0.05, 0.09, 0.10)] == [5, 25, 46, 51]
    assert [fda.half_width(1052, 1914, beta)[0] for beta in (0.01, 0.05, 0.09, 0.10)] == [10, 52, 94, 105]
    assert fda.half_width(720, 1280, 0.1, "rect") == (72, 128)
    assert fda.half_width(8, 9, 1.0, "rect") == (3, 4)  # below the Nyquist frequency
    assert fda.half_width(8, 90, 1.0) == (3, 3)
    assert fda.half_width(20, 40, 0.01) == (0, 0)


def test_style_is_small_and_remembers_its_window():
    style = fda.low_band(noise((100, 220), 0), 0.1, "rect")
    assert style.amplitude.shape == (3, 21, 23)
    assert style.amplitude.dtype == np.float32
    assert (style.size, style.beta, style.window) == ((100, 220), 0.1, "rect")


def test_a_view_is_as_good_as_an_array():
    whole = noise((60, 90), 0)
    style = fda.low_band(whole[::2, ::-1], 0.1)
    copied = fda.low_band(whole[::2, ::-1].copy(), 0.1)
    np.testing.assert_array_equal(style.amplitude, copied.amplitude)
    np.testing.assert_array_equal(fda.stylize(whole[::2], style), fda.stylize(whole[::2].copy(), style))


def test_errors_have_a_hint():
    style = fda.low_band(noise((16, 24), 0), 0.1)
    with pytest.raises(UdasegError, match="image is 16x20x3, style is 16x24x3") as error:
        fda.stylize(noise((16, 20), 0), style)
    assert "resize" in error.value.hint
    for beta in (-0.1, 1.5, float("nan")):
        with pytest.raises(UdasegError, match="beta"):
            fda.half_width(16, 16, beta)
    with pytest.raises(UdasegError, match="window"):
        fda.low_band(noise((16, 16), 0), 0.1, "round")


class Target:
    """Flat images of another size than the source's, grey level 50 i."""

    def __len__(self):
        return 4

    def image(self, i):
        return np.full((20, 30, 3), 50 * i, np.uint8)


def test_random_restyle_draws_a_new_target_every_time():
    restyle, source = random_restyle(Target(), 0.1), noise((32, 48), 0)
    rng = np.random.default_rng(0)
    assert len({round(float(restyle(source, rng).mean()), -1) for _ in range(20)}) == 4
    drawn = int(np.random.default_rng(1).integers(4))
    style = fda.low_band(np.full((32, 48, 3), 50 * drawn, np.uint8), 0.1)
    np.testing.assert_array_equal(restyle(source, np.random.default_rng(1)), fda.stylize(source, style))
    assert restyle(source[:24, ::-1], rng).shape == (24, 48, 3)  # a crop, of another size and mirrored
