"""Procedural noise as a pure function of coordinates and a seed."""

from numba import njit

MASK = 0xFFFFFFFF


@njit(cache=True, nogil=True)
def hash01(ix, iy, seed):
    """Return a number in [0, 1) for an integer lattice point and a seed below 2^20 (an integer hash of 32 bits)."""
    h = (ix * 374761393 + iy * 668265263 + seed * 1442695041) & MASK
    h = ((h ^ (h >> 13)) * 1274126177) & MASK
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0


@njit(cache=True, nogil=True)
def value_noise(x, y, seed):
    """Return smooth noise in [0, 1) at (x, y): lattice values one unit apart, blended by 3t^2 - 2t^3."""
    ix, iy = int(x // 1.0), int(y // 1.0)
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy)
    low = hash01(ix, iy, seed) * (1.0 - fx) + hash01(ix + 1, iy, seed) * fx
    high = hash01(ix, iy + 1, seed) * (1.0 - fx) + hash01(ix + 1, iy + 1, seed) * fx
    return low * (1.0 - fy) + high * fy


@njit(cache=True, nogil=True)
def fractal(x, y, seed, octaves):
    """Return the sum of `octaves` noises of halving amplitude and doubling frequency, scaled to [0, 1)."""
    total, amplitude, weight = 0.0, 1.0, 0.0
    for octave in range(octaves):
        total += amplitude * value_noise(x, y, seed + octave)
        weight += amplitude
        amplitude *= 0.5
        x, y = 2.03 * x + 17.1, 2.03 * y + 5.3
    return total / weight
