"""Compute the colour of each pixel in linear light: materials, sun, shadow, sky and haze."""

import numpy as np
from numba import njit

from . import kinds as k
from .noise import fractal, hash01, value_noise


@njit(cache=True, nogil=True)
def soften(frequency, step):
    """Return how much of a texture of `frequency` cycles a metre survives pixels that are `step` metres wide."""
    blur = 2.0 * frequency * step
    return 1.0 / (1.0 + blur * blur)


@njit(cache=True, nogil=True)
def paint(material, x, y, wide, high, look, seed, step, grain, out, accent):
    """Modulate the colour `out` [3] of a patch at x, y metres of wide, high; return the light it gives off itself."""
    glow = 0.0
    if material == k.ASPHALT:
        f = 3.0 * grain
        patchy = fractal(0.22 * x, 0.22 * y, seed, 2) - 0.5
        fine = value_noise(f * x, f * y, seed + 9) - 0.5
        gain = 1.0 + 0.35 * patchy + 0.35 * fine * soften(f, step)
        crack = abs(value_noise(0.35 * x + 3.0, 0.35 * y, seed + 5) - 0.5)
        if crack < 0.012:
            gain *= 1.0 - 0.3 * soften(2.0, step)
        scale(out, gain)
    elif material == k.PAVING:
        cx, cy = x / look[0], y / look[0]
        ix, iy = int(cx // 1.0), int(cy // 1.0)
        keep = soften(0.7 / look[0], step)
        gain = 1.0 + 0.22 * (hash01(ix, iy, seed) - 0.5) * keep
        if cx - ix < 0.07 or cy - iy < 0.07:
            gain -= 0.35 * keep
        gain += 0.2 * (value_noise(2.0 * grain * x, 2.0 * grain * y, seed + 2) - 0.5) * soften(2.0 * grain, step)
        scale(out, gain)
    elif material == k.GRASS:
        f = 5.0 * grain
        blades = (value_noise(f * x, 0.6 * f * y, seed) - 0.5) * soften(f, step)
        tufts = fractal(0.5 * x, 0.5 * y, seed + 4, 2) - 0.5
        scale(out, 1.0 + 0.9 * blades + 0.7 * tufts)
        out[0] *= 1.0 + 0.5 * tufts
    elif material == k.FACADE:
        facade(x, y, wide, high, look, seed, step, grain, out, accent)
    elif material == k.BRICK:
        iy = int(y / look[0] // 1.0)
        cx = x / (2.6 * look[0]) + 0.5 * (iy % 2)
        keep = soften(0.6 / look[0], step)
        gain = 1.0 + 0.5 * (hash01(int(cx // 1.0), iy, seed) - 0.5) * keep
        if cx - cx // 1.0 < 0.09 or y / look[0] - iy < 0.2:
            gain = gain * (1.0 - keep) + 1.35 * keep
        scale(out, gain * (0.85 + 0.3 * fractal(0.8 * x, 0.8 * y, seed + 3, 2)))
    elif material == k.PLANKS:
        ix = int(x / look[0] // 1.0)
        keep = soften(0.6 / look[0], step)
        gain = 1.0 + 0.2 * (hash01(ix, 0, seed) - 0.5) * keep
        if x / look[0] - ix < 0.14:
            gain -= 0.3 * keep
        scale(out, gain + 0.15 * (value_noise(8.0 * x, 1.2 * y, seed) - 0.5) * soften(8.0, step))
    elif material == k.LEAF:
        f = 3.2 * grain
        leaves = (value_noise(f * x, f * y, seed) - 0.5) * soften(f, step)
        clumps = fractal(1.1 * x, 1.1 * y, seed + 6, 2) - 0.5
        scale(out, max(0.15, 1.0 + 1.1 * leaves + 1.3 * clumps))
        out[0] *= 1.0 + 0.35 * leaves
    elif material == k.BARK:
        scale(out, 0.8 + 0.4 * value_noise(9.0 * x, 2.0 * y, seed))
    elif material == k.BAND:
        v = y / high
        if look[0] < v < look[1]:
            at = x / look[2]
            pillar = abs(at - (at // 1.0) - 0.5) > 0.5 - 0.07 / look[2]
            if not pillar and 0.07 < x < wide - 0.07:
                glass(x, (v - look[0]) / (look[1] - look[0]), seed, accent, out)
    elif material == k.GLASS:
        glass(x, y / high, seed, out, out)
    elif material == k.WHEEL:
        dx, dy = 2.0 * x / wide - 1.0, 2.0 * y / high - 1.0
        if dx * dx + dy * dy < 0.34:
            out[0], out[1], out[2] = 0.28, 0.28, 0.29
    elif material == k.LAMP:
        glow = look[0]
    elif material == k.CLOTH:
        scale(out, 0.85 + 0.3 * value_noise(7.0 * x, 4.0 * y, seed))
    elif material == k.TILES:
        cy = y / look[0]
        keep = soften(0.6 / look[0], step)
        shade = 0.35 * (cy - cy // 1.0 - 0.5) * keep
        scale(out, 1.0 + shade + 0.3 * (fractal(1.2 * x, 2.0 * y, seed, 2) - 0.5))
    elif material == k.PLAIN and look[0] > 0.0:
        scale(out, 1.0 + look[0] * (fractal(look[1] * x, look[1] * y, seed, 2) - 0.6))
    return glow


@njit(cache=True, nogil=True)
def scale(color, gain):
    """Multiply a colour [3] in place."""
    for c in range(3):
        color[c] *= gain


@njit(cache=True, nogil=True)
def glass(x, v, seed, color, out):
    """Paint a pane: dark, with a paler reflection of the sky towards the top."""
    sheen = 0.05 + 0.16 * v * v + 0.1 * max(0.0, value_noise(0.9 * x + 1.5 * v, 1.3 * v, seed) - 0.5)
    for c in range(3):
        out[c] = 0.8 * color[c] + sheen * (0.85 + 0.1 * c)


@njit(cache=True, nogil=True)
def facade(x, y, wide, high, look, seed, step, grain, out, accent):
    """Paint a house front: windows in a grid with frames, shops at street level, plaster between."""
    pitch, storey = look[0], look[1]
    count = max(1, int(wide / pitch))
    cell = wide / count
    ix, iy = int(x / cell), int(y / storey)
    u, v = x / cell - ix, y / storey - iy
    f = 1.7 * grain
    gain = 1.0 + 0.22 * (fractal(0.5 * x, 0.5 * y, seed, 2) - 0.5)
    gain += 0.16 * (value_noise(f * x, f * y, seed + 3) - 0.5) * soften(f, step)
    if y < 0.6:
        gain *= 0.75
    keep = soften(1.2 / cell, step)
    dice = hash01(ix, iy, seed)
    shop = look[3] > 0.0 and iy == 0
    if look[2] > 0.0:
        u0, u1, v0, v1 = 0.05, 0.95, 0.1, 0.92
    elif shop:
        u0, u1, v0, v1 = 0.08, 0.92, 0.16, 0.74
    else:
        u0, u1, v0, v1 = 0.27, 0.73, 0.28, 0.8
    if shop and v > 0.78 and v < 0.95:
        # A fascia in its own colour above each pair of shop windows.
        hue = hash01(ix // 2, 77, seed)
        out[0], out[1], out[2] = 0.1 + 0.5 * hue, 0.12 + 0.3 * abs(hue - 0.5), 0.5 - 0.45 * hue
        return
    if u0 < u < u1 and v0 < v < v1 and y < high - 0.4:
        if dice < 0.12 and not shop:
            scale(out, 1.0 + 0.25 * keep)  # a blind is down
        else:
            depth = (v - v0) / (v1 - v0)
            bright = 0.55 + 0.5 * dice
            frame = abs(u - 0.5) < 0.016 or abs(depth - 0.62) < 0.03
            sheen = 0.02 + 0.1 * depth * depth * dice
            for c in range(3):
                pane = accent[c] * bright + sheen
                out[c] = out[c] * (1.0 - keep) + (0.6 if frame else pane) * keep
        return
    if v0 - 0.05 < v < v1 + 0.05 and u0 - 0.05 < u < u1 + 0.05:
        gain *= 1.0 + 0.3 * keep  # the window's surround
    scale(out, gain)


@njit(cache=True, nogil=True)
def light(
    drawn,
    forms,
    kind,
    look,
    color,
    lengths,
    normal,
    rays,
    shadow,
    contact,
    cell,
    left,
    camera_y,
    sun,
    sky,
    air,
    samples,
    out,
):
    """Compute the image in linear light, float32 [H, W, 3], averaged over samples x samples finer pixels.

    drawn int32 [H*samples, W*samples] patch indices; lengths [N, 2] metres of u and v; normal [N, 3] in the world;
    rays [3, 3] maps a pixel (column, row, 1) to its direction in the world for z-depth 1; shadow and contact
    [Z, X] are ground maps; sun [10]: direction, colour, ambient colour, strength of cast shadows; sky [11]: zenith,
    horizon, cloud colour, cloudiness, seed; air [5]: haze colour, haze per metre, texture contrast and its grain.
    """
    height, width = out.shape[0], out.shape[1]
    base, rgb, accent = np.zeros(3), np.zeros(3), np.zeros(3)
    share = 1.0 / (samples * samples)
    zs, xs = shadow.shape
    for row in range(height * samples):
        for col in range(width * samples):
            n = drawn[row, col]
            dx = rays[0, 0] * col + rays[0, 1] * row + rays[0, 2]
            dy = rays[1, 0] * col + rays[1, 1] * row + rays[1, 2]
            dz = rays[2, 0] * col + rays[2, 1] * row + rays[2, 2]
            if n < 0:
                slope = dy / np.sqrt(dx * dx + dz * dz)
                rise = min(1.0, max(0.0, slope * 2.2))
                cover = 0.0
                if sky[9] > 0.0:
                    lift = 1.0 / (0.12 + max(0.0, slope))
                    puff = fractal(0.5 * lift * dx, 0.5 * lift * dz, int(sky[10]), 4)
                    cover = min(1.0, max(0.0, (puff - 0.72 + 0.5 * sky[9]) * 4.0)) * (0.35 + 0.65 * sky[9])
                for c in range(3):
                    clear = sky[3 + c] * (1.0 - rise) + sky[c] * rise
                    rgb[c] = clear * (1.0 - cover) + sky[6 + c] * cover * (0.86 + 0.14 * rise)
            else:
                f = forms[n]
                q = f[0, 0] * col + f[0, 1] * row + f[0, 2]
                z = 1.0 / q
                u = (f[1, 0] * col + f[1, 1] * row + f[1, 2]) * z
                v = (f[2, 0] * col + f[2, 1] * row + f[2, 2]) * z
                nx, ny, nz = normal[n, 0], normal[n, 1], normal[n, 2]
                facing = nx * dx + ny * dy + nz * dz
                long = np.sqrt(dx * dx + dy * dy + dz * dz)
                grazing = max(0.08, abs(facing) / long)
                step = z * air[6] / grazing
                if facing > 0.0:
                    nx, ny, nz = -nx, -ny, -nz
                if kind[n, 2] != k.FLAT:
                    bend = (2.0 * u - 1.0) * 0.95
                    if nz > 0.0:
                        bend = -bend
                    # Turn the normal round the vertical; a ball's normal also tilts up.
                    side = np.sqrt(max(0.0, 1.0 - bend * bend))
                    nx, nz = nx * side - nz * bend, nz * side + nx * bend
                    if kind[n, 2] == k.SPHERE:
                        tilt = (2.0 * v - 1.0) * 0.9
                        flat = np.sqrt(max(0.0, 1.0 - tilt * tilt))
                        nx, ny, nz = nx * flat, tilt, nz * flat
                for c in range(3):
                    base[c], rgb[c], accent[c] = color[n, c], color[n, c], color[n, 3 + c]
                glow = paint(
                    kind[n, 1], u * lengths[n, 0], v * lengths[n, 1], lengths[n, 0], lengths[n, 1],
                    look[n], kind[n, 3], step, air[5], rgb, accent,
                )  # fmt: skip
                lit = max(0.0, nx * sun[0] + ny * sun[1] + nz * sun[2])
                dark = 0.0
                up = camera_y + dy * z
                if up < 0.3 and ny > 0.9:
                    c0, r0 = int((dx * z - left) / cell), int(dz * z / cell)
                    if 0 <= c0 < xs and 0 <= r0 < zs:
                        lit *= 1.0 - sun[9] * shadow[r0, c0]
                        dark = 0.6 * contact[r0, c0]
                # More of the sky lights what faces up.
                open_sky = (0.72 + 0.28 * ny) * (1.0 - dark)
                shine = 0.0
                if kind[n, 1] == k.PAINT:
                    shine = 0.1 * max(0.0, ny) + 0.06 * v * v
                fade = 1.0 - np.exp(-air[3] * z)
                for c in range(3):
                    albedo = base[c] + air[4] * (rgb[c] - base[c]) if kind[n, 1] < k.PAINT else rgb[c]
                    value = max(0.0, albedo) * (sun[3 + c] * lit * (1.0 - dark) + sun[6 + c] * open_sky)
                    value += shine * sky[3 + c] + glow * rgb[c]
                    rgb[c] = value * (1.0 - fade) + air[c] * fade
            for c in range(3):
                out[row // samples, col // samples, c] += share * rgb[c]
