"""Fourier domain adaptation: give a source image the low-frequency amplitudes of a target image.

Source: FDA (Yang and Soatto, CVPR 2020), eq. 3 to 5, with a symmetric window. The coefficients (u, v) with |u| <= b
and |v| <= b keep the phase of the source and take the amplitude of the target. Only that window changes, so

    output = source + inverse DFT of the change,

and neither direction needs a full FFT. Along the columns of the image the 2b + 1 frequencies are a matrix product.
Folding the image by the symmetries of cosine and sine (`_fold`) makes it a quarter as large. Along the rows a real FFT
of the 2b + 1 results does the rest.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import floor, isfinite, prod

import numpy as np
from numba import njit
from scipy import fft

from udaseg.errors import UdasegError

BLOCK = 768  # columns handled at a time: the folded block stays in the cache


@dataclass(frozen=True, eq=False)
class LowBand:
    """The style of an image: the amplitudes of its low frequencies.

    `amplitude` is float32 [C, 2 bu + 1, bv + 1], of the unnormalised DFT: rows -bu to bu, columns 0 to bv. The columns
    -bv to -1 mirror them, because the image is real. `size` is (height, width). At beta 0, which changes nothing, the
    amplitude is empty.
    """

    amplitude: np.ndarray
    size: tuple[int, int]
    beta: float
    window: str


def half_width(height: int, width: int, beta: float, window: str = "square") -> tuple[int, int]:
    """Return the half width (bu, bv) of the window over rows and columns of the centred spectrum.

    The window "square" has floor(beta * min(height, width)) for both, as in the published code; "rect" takes the
    fraction of each side, as in the paper. Both stay below the Nyquist frequency: at most (side - 1) // 2. Raises
    UdasegError for a beta outside [0, 1] or an unknown window.
    """
    if not (isfinite(beta) and 0.0 <= beta <= 1.0):
        raise UdasegError(f"beta is {beta}, expected a fraction from 0 to 1", "choose beta from 0.01 to 0.1")
    if window not in ("square", "rect"):
        raise UdasegError(f"unknown window {window!r}", "choose one of: square, rect")
    sides = (height, width) if window == "rect" else (min(height, width),) * 2
    bu, bv = (min(floor(side * beta), (side - 1) // 2) for side in sides)
    return bu, bv


def low_band(image_HWC: np.ndarray, beta: float, window: str = "square") -> LowBand:
    """Return the style of a uint8 image [H, W, C] (FDA, eq. 3). Raises UdasegError as `half_width` does."""
    height, width, channels = image_HWC.shape
    bu, bv = half_width(height, width, beta, window)
    if beta == 0:
        return LowBand(np.zeros((channels, 0, 0), np.float32), (height, width), beta, window)
    return LowBand(np.abs(_spectrum(image_HWC, bu, bv)), (height, width), beta, window)


def transfer(image_HWC: np.ndarray, style: LowBand) -> np.ndarray:
    """Return a uint8 image [H, W, C] in the style of another: float32 [H, W, C] in grey levels, not clipped.

    The mean of the result is the mean of the target; at beta 0 the result is the image. A coefficient of the source
    that is zero has phase 0. Raises UdasegError where image and style differ in size. Source: FDA, eq. 4.
    """
    return _transfer(image_HWC, style, np.empty(image_HWC.shape, np.float32))


def stylize(image_HWC: np.ndarray, style: LowBand) -> np.ndarray:
    """Return a uint8 image [H, W, C] in the style of another, clipped to 0..255 and rounded: uint8 [H, W, C].

    Raises UdasegError where image and style differ in size.
    """
    return _transfer(image_HWC, style, np.empty(image_HWC.shape, np.uint8))


def _transfer(image_HWC: np.ndarray, style: LowBand, out_HWC: np.ndarray) -> np.ndarray:
    size, channels = image_HWC.shape[:2], image_HWC.shape[2]
    if size != style.size or channels != len(style.amplitude):
        raise UdasegError(
            f"image is {size[0]}x{size[1]}x{channels}, style is {style.size[0]}x{style.size[1]}x{len(style.amplitude)}",
            "resize both to the same height and width first",
        )
    if style.beta == 0:
        out_HWC[:] = image_HWC
        return out_HWC
    bu, bv = half_width(*size, style.beta, style.window)
    change_CUV = _spectrum(image_HWC, bu, bv)
    amplitude_CUV = np.abs(change_CUV)
    zero_CUV = amplitude_CUV == 0
    amplitude_CUV[zero_CUV] = 1
    change_CUV *= style.amplitude / amplitude_CUV - 1
    change_CUV[zero_CUV] = style.amplitude[zero_CUV]
    return _add_change(image_HWC, change_CUV, out_HWC)


def _spectrum(image_HWC: np.ndarray, bu: int, bv: int) -> np.ndarray:
    """Return the DFT of a uint8 image at rows -bu..bu and columns 0..bv: complex64 [C, 2 bu + 1, bv + 1]."""
    assert image_HWC.dtype == np.uint8
    height, width, channels = image_HWC.shape
    image = np.ascontiguousarray(image_HWC).reshape(height, -1)
    # Without its mean, an image loses less to rounding, and the DFT of a flat image is exactly zero.
    mean = np.rint(image_HWC[::16, ::16].mean(axis=(0, 1))).astype(np.float32)
    groups = _groups(height, bu)
    folded = _zeros(len(groups), groups[0][1].shape[1], BLOCK)
    projected = np.empty((2 * bu + 2, width * channels), np.float32)
    product = _zeros(2 * bu + 2, BLOCK)
    for start in range(0, width * channels, BLOCK):
        stop = min(start + BLOCK, width * channels)
        _fold(image[:, start:stop], np.resize(np.roll(mean, -(start % channels)), stop - start), folded)
        for (rows, basis, _), part in zip(groups, folded, strict=True):
            _product(basis, part, stop - start, product[: len(rows)])
            projected[rows, start:stop] = product[: len(rows), : stop - start]

    spectrum_CUV = np.empty((channels, 2 * bu + 1, bv + 1), np.complex64)
    for channel in range(channels):
        half = fft.rfft(np.ascontiguousarray(projected[:, channel::channels]), axis=1)[:, : bv + 1]
        cosine, sine = half[: bu + 1], 1j * half[bu + 1 : -1]
        spectrum_CUV[channel, bu] = cosine[0]
        spectrum_CUV[channel, bu + 1 :] = cosine[1:] - sine
        spectrum_CUV[channel, :bu] = (cosine[1:] + sine)[::-1]
        spectrum_CUV[channel, bu, 0] += mean[channel] * height * width
    return spectrum_CUV


def _add_change(image_HWC: np.ndarray, change_CUV: np.ndarray, out_HWC: np.ndarray) -> np.ndarray:
    """Write the image plus the inverse DFT of a change of its low band to out_HWC; return that."""
    height, width, channels = image_HWC.shape
    bu = change_CUV.shape[1] // 2
    weights = np.zeros((2 * bu + 2, width * channels), np.float32)  # of the cosines 0..bu and the sines 1..bu
    for channel in range(channels):
        above, below = change_CUV[channel, bu + 1 :], change_CUV[channel, :bu][::-1]
        half = np.concatenate((change_CUV[channel, bu : bu + 1], above + below, 1j * (above - below)))
        weights[:-1, channel::channels] = fft.irfft(half, width, axis=1)
    weights /= height

    image, out = np.ascontiguousarray(image_HWC).reshape(height, -1), out_HWC.reshape(height, -1)
    groups = _groups(height, bu)
    folded = _zeros(len(groups), groups[0][1].shape[1], BLOCK)
    group_weights = _zeros(2 * bu + 2, BLOCK)
    for start in range(0, width * channels, BLOCK):
        stop = min(start + BLOCK, width * channels)
        for (rows, _, transposed), part in zip(groups, folded, strict=True):
            group_weights[: len(rows), : stop - start] = weights[rows, start:stop]
            _product(transposed, group_weights, stop - start, part)
        _unfold(image[:, start:stop], folded, out[:, start:stop], out.dtype == np.uint8)
    return out_HWC


@lru_cache(maxsize=8)
def _groups(height: int, b: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """Split the cosines 0..b and the sines 1..b over the rows of an image into groups of one symmetry.

    A group is (indices, basis, transposed): the indices of its functions, and their values on the rows that are left
    after folding, float32 [functions, rows] and [rows, functions], padded with zeros to even lengths. An even height
    has four groups on the first quarter of the rows: even cosines, even sines, odd cosines, odd sines. An odd height
    has one group, of all functions on all rows.
    """
    rows = height if height % 2 else height // 4 + 1
    u, n = np.arange(b + 1), np.arange(rows)
    angle = 2 * np.pi / height * (u[:, None] * n % height)
    basis = np.zeros((2 * b + 2, rows + rows % 2), np.float32)
    basis[: b + 1, :rows], basis[b + 1 : -1, :rows] = np.cos(angle), np.sin(angle[1:])
    split = (np.arange(2 * b + 1),) if height % 2 else (u[0::2], b + u[2::2], u[1::2], b + u[1::2])
    padded = [np.append(indices, [2 * b + 1] * (len(indices) % 2)).astype(int) for indices in split]
    return tuple((indices, basis[indices], np.ascontiguousarray(basis[indices].T)) for indices in padded)


def _zeros(*shape: int) -> np.ndarray:
    """Return float32 zeros that begin with a line of the cache.

    NumPy's arrays begin anywhere, so vectors lie across two lines, and the products take up to 1.4 times as long.
    """
    values = np.zeros(prod(shape) + 16, np.float32)
    offset = -values.ctypes.data // 4 % 16
    return values[offset : offset + prod(shape)].reshape(shape)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _product(left, right, width, out):
    """Write the first `width` columns of left @ right to out; `left` has an even number of rows.

    BLAS would start a thread for each core in every thread of a pool, and these would wait for each other.
    """
    inner = left.shape[1]
    unrolled = inner // 4 * 4
    for r in range(0, left.shape[0], 2):
        upper, lower, above, below = left[r], left[r + 1], out[r], out[r + 1]
        for x in range(width):
            above[x] = 0
            below[x] = 0
        for n in range(0, unrolled, 4):
            a, b, c, d = upper[n], upper[n + 1], upper[n + 2], upper[n + 3]
            e, f, g, h = lower[n], lower[n + 1], lower[n + 2], lower[n + 3]
            first, second, third, fourth = right[n], right[n + 1], right[n + 2], right[n + 3]
            for x in range(width):
                above[x] += a * first[x] + b * second[x] + (c * third[x] + d * fourth[x])
                below[x] += e * first[x] + f * second[x] + (g * third[x] + h * fourth[x])
        for n in range(unrolled, inner):
            a, b, first = upper[n], lower[n], right[n]
            for x in range(width):
                above[x] += a * first[x]
                below[x] += b * first[x]


@njit(cache=True, nogil=True)
def _fold(image, mean, folded):
    """Subtract the mean; sum the rows on which the functions of a group have the same value but for its sign.

    With h = H / 2, row n stands for the rows n, h - n, h + n and H - n. A cosine is even about 0 and h, a sine odd;
    a shift by h changes the sign of the odd frequencies alone. Rows 0 and h / 2 are their own partners.
    """
    height, width = image.shape
    if len(folded) == 1:
        for n in range(height):
            for x in range(width):
                folded[0, n, x] = np.float32(image[n, x]) - mean[x]
        return
    half = height // 2
    for n in range(half // 2 + 1):
        paired = np.float32(n != 0 and 2 * n != half)
        first, second = image[n], image[n + half]
        third, fourth = image[half - n], image[(height - n) % height]
        for x in range(width):
            even = np.float32(first[x]) + np.float32(second[x]) - 2 * mean[x]
            odd = np.float32(first[x]) - np.float32(second[x])
            even_partner = paired * (np.float32(third[x]) + np.float32(fourth[x]) - 2 * mean[x])
            odd_partner = paired * (np.float32(third[x]) - np.float32(fourth[x]))
            folded[0, n, x] = even + even_partner
            folded[1, n, x] = even - even_partner
            folded[2, n, x] = odd - odd_partner
            folded[3, n, x] = odd + odd_partner


@njit(cache=True, nogil=True)
def _unfold(image, folded, out, clip):
    """Write each row of the image plus the groups, with the signs of `_fold`, to `out`; `clip` for uint8 rounds too."""
    height, width = image.shape
    if len(folded) == 1:
        for n in range(height):
            for x in range(width):
                out[n, x] = _level(image[n, x], folded[0, n, x], clip)
        return
    half = height // 2
    for n in range(half // 2 + 1):
        for x in range(width):
            out[n, x] = _level(image[n, x], folded[0, n, x] + folded[1, n, x] + folded[2, n, x] + folded[3, n, x], clip)
        upper = n + half
        for x in range(width):
            change = folded[0, n, x] + folded[1, n, x] - folded[2, n, x] - folded[3, n, x]
            out[upper, x] = _level(image[upper, x], change, clip)
        if n == 0 or 2 * n == half:
            continue
        lower, last = half - n, height - n
        for x in range(width):
            change = folded[0, n, x] - folded[1, n, x] - folded[2, n, x] + folded[3, n, x]
            out[lower, x] = _level(image[lower, x], change, clip)
        for x in range(width):
            change = folded[0, n, x] - folded[1, n, x] + folded[2, n, x] - folded[3, n, x]
            out[last, x] = _level(image[last, x], change, clip)


@njit(cache=True, nogil=True, inline="always")
def _level(level, change, clip):
    value = np.float32(level) + change
    if clip:
        return np.floor(min(max(value, np.float32(0)), np.float32(255)) + np.float32(0.5))
    return value
