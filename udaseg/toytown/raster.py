"""Find the nearest patch of each pixel, by scan conversion in inverse depth, which is linear over an image."""

import numpy as np
from numba import njit

from . import kinds as k
from .noise import fractal, value_noise
from .scene import Camera, Patches

NEAR = 0.4  # metres
OUTSIDE, HOLE, SOLID = 0, 1, 2


def planes(patches: Patches, camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """Return float64 [N, 3, 3]: for each patch q, s, t as linear forms over a pixel's (column, row, 1).

    q is the inverse z-depth (1/m) of the patch's plane, s = u q and t = v q for the patch coordinates u, v: a pixel
    shows the patch where q > 0, 0 <= s <= q and 0 <= t <= q. Patches seen edge-on get q = -1 and are not shown.
    """
    rotation = camera.rotation()
    corner = (patches.corner - (0.0, camera.height, 0.0)) @ rotation.T
    u, v = patches.u @ rotation.T, patches.v @ rotation.T
    normal = np.cross(u, v)
    offset = np.einsum("ij,ij->i", normal, corner)
    visible = np.abs(offset) > 1e-9
    safe = np.where(visible, offset, 1.0)[:, None]
    area = np.einsum("ij,ij->i", normal, normal)[:, None]
    q = normal / safe
    dual_u, dual_v = np.cross(v, normal) / area, np.cross(normal, u) / area
    s = dual_u - np.einsum("ij,ij->i", dual_u, corner)[:, None] * q
    t = dual_v - np.einsum("ij,ij->i", dual_v, corner)[:, None] * q
    forms = np.stack([q, s, t], 1)
    forms = forms @ camera.rays(size)
    forms[~visible] = (0.0, 0.0, -1.0)
    return forms


@njit(cache=True, nogil=True)
def cover(outline, u, v, form, seed):
    """Return how a patch covers its point (u, v): OUTSIDE, HOLE (in the label, not in the image) or SOLID."""
    x, y = 2.0 * u - 1.0, 2.0 * v - 1.0
    if outline == k.RECT:
        return SOLID
    if outline == k.ELLIPSE:
        return SOLID if x * x + y * y <= 1.0 else OUTSIDE
    if outline == k.TRAPEZOID:
        return SOLID if form[0] * v <= u <= 1.0 - form[1] * v else OUTSIDE
    if outline == k.DIAMOND:
        return SOLID if abs(x) + abs(y) <= 1.0 else OUTSIDE
    if outline == k.OCTAGON:
        return SOLID if abs(x) + abs(y) <= 1.41 else OUTSIDE
    if outline == k.RING:
        r = x * x + y * y
        if r > 1.0:
            return OUTSIDE
        return SOLID if r >= form[0] * form[0] else HOLE
    if outline == k.CAPSULE:
        end = 1.0 / form[0]
        beyond = max(0.0, abs(y) - (1.0 - end)) / end
        return SOLID if x * x + beyond * beyond <= 1.0 else OUTSIDE
    if outline == k.PICKETS:
        at = u * form[0]
        across = abs(at - (at // 1.0) - 0.5) * 2.0 / form[1]
        if form[2] > 0.0 and v > 0.9 and across > 1.0 - (v - 0.9) * 9.0:
            return OUTSIDE
        return SOLID if across <= 1.0 or 0.2 < v < 0.3 or 0.7 < v < 0.8 else HOLE
    if outline == k.BARS:
        at = u * form[0]
        return SOLID if at - (at // 1.0) < form[1] or v > 0.9 or 0.08 < v < 0.16 else HOLE
    if outline == k.CROWN:
        edge = 1.0 - form[1] * fractal(u * form[0] + 7.0, v * form[0], seed, 2)
        r = x * x + y * y
        if r > edge * edge:
            return OUTSIDE
        # Holes open towards the rim, where a crown is thin.
        return SOLID if value_noise(u * form[0] * 2.3, v * form[0] * 2.3, seed + 3) > form[2] * r else HOLE
    if outline == k.HEDGE:
        return SOLID if v <= 1.0 - form[1] * fractal(u * form[0], v * 1.5, seed, 2) else OUTSIDE
    tiers = (1.0 - v) * (0.75 + 0.25 * ((v * 5.0) // 1.0 + 1.0 - v * 5.0))
    return SOLID if abs(x) <= tiers - form[1] * (1.0 - v) * value_noise(x * form[0], v * 12.0, seed) else OUTSIDE


@njit(cache=True, nogil=True)
def row_span(forms, row, width):
    """Return the first and last column of a row where 0 <= s, t <= q and 0 < q <= 1/NEAR (first > last: none)."""
    low, high = 0.0, width - 1.0
    for side in range(6):
        if side == 0:
            slope, value = forms[0, 0], forms[0, 1] * row + forms[0, 2] - 1e-6
        elif side == 1:
            slope, value = -forms[0, 0], 1.0 / NEAR - (forms[0, 1] * row + forms[0, 2])
        elif side < 4:
            slope, value = forms[side - 1, 0], forms[side - 1, 1] * row + forms[side - 1, 2]
        else:
            slope = forms[0, 0] - forms[side - 3, 0]
            value = (forms[0, 1] - forms[side - 3, 1]) * row + forms[0, 2] - forms[side - 3, 2]
        if slope > 1e-15:
            low = max(low, -value / slope)
        elif slope < -1e-15:
            high = min(high, -value / slope)
        elif value < 0.0:
            return 1, 0
        if low > high:
            return 1, 0
    return int(np.ceil(low)), int(np.floor(high))


@njit(cache=True, nogil=True)
def rasterise(forms, rows, kind, form, drawn, drawn_q, named, named_q):
    """Draw patches into two buffers of the nearest patch: `drawn` for the image, `named` for the label and depth.

    forms float64 [N, 3, 3] from planes(); rows int64 [N, 2] first and last row to visit; drawn, named int32 [H, W]
    hold patch indices (-1: sky), drawn_q, named_q float64 [H, W] inverse depths. They differ in the holes of
    fences, crowns and wheels, which annotators fill in.
    """
    width = drawn.shape[1]
    for n in range(forms.shape[0]):
        outline, seed = kind[n, 0], kind[n, 3]
        f = forms[n]
        for row in range(rows[n, 0], rows[n, 1] + 1):
            first, last = row_span(f, row, width)
            q0, s0, t0 = f[0, 1] * row + f[0, 2], f[1, 1] * row + f[1, 2], f[2, 1] * row + f[2, 2]
            for col in range(first, last + 1):
                q = f[0, 0] * col + q0
                if q <= drawn_q[row, col] and q <= named_q[row, col]:
                    continue
                covered = SOLID
                if outline != k.RECT:
                    covered = cover(outline, (f[1, 0] * col + s0) / q, (f[2, 0] * col + t0) / q, form[n], seed)
                if covered == SOLID and q > drawn_q[row, col]:
                    drawn_q[row, col] = q
                    drawn[row, col] = n
                if covered != OUTSIDE and q > named_q[row, col]:
                    named_q[row, col] = q
                    named[row, col] = n


def row_bounds(patches: Patches, camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """Return int64 [N, 2]: the first and last row that each patch can touch (all rows if it passes the camera)."""
    height, width = size
    corners = np.stack([patches.corner + a * patches.u + b * patches.v for a in (0, 1) for b in (0, 1)], 1)
    points = (corners - (0.0, camera.height, 0.0)) @ camera.rotation().T
    depth = np.maximum(points[..., 2], NEAR)
    row = height / 2 - 0.5 - camera.focal * width * points[..., 1] / depth
    low, high = np.floor(row.min(1)), np.ceil(row.max(1))
    crosses_camera = points[..., 2].min(1) < NEAR
    low, high = np.where(crosses_camera, 0, low), np.where(crosses_camera, height - 1, high)
    is_behind = points[..., 2].max(1) < NEAR
    high = np.where(is_behind, -1, np.clip(high, -1, height - 1))
    return np.stack([np.clip(low, 0, height), high], 1).astype(np.int64)


@njit(cache=True, nogil=True)
def cast(grid, cell, left, corner, u, v, kind, form, sun_x, sun_z):
    """Set the cells of a ground map that patches shade to 1: float32 [Z, X], cells of `cell` metres.

    x starts at `left`, z at 0. The shadow of a point (x, y, z) is (x + y sun_x, z + y sun_z): the shadow of a
    parallelogram is a parallelogram.
    """
    rows, cols = grid.shape
    for n in range(corner.shape[0]):
        px, pz = corner[n, 0] + corner[n, 1] * sun_x - left, corner[n, 2] + corner[n, 1] * sun_z
        ux, uz = u[n, 0] + u[n, 1] * sun_x, u[n, 2] + u[n, 1] * sun_z
        vx, vz = v[n, 0] + v[n, 1] * sun_x, v[n, 2] + v[n, 1] * sun_z
        det = ux * vz - uz * vx
        if abs(det) < 1e-6:
            continue
        x0, x1 = px + min(0.0, ux) + min(0.0, vx), px + max(0.0, ux) + max(0.0, vx)
        z0, z1 = pz + min(0.0, uz) + min(0.0, vz), pz + max(0.0, uz) + max(0.0, vz)
        for r in range(max(0, int(z0 / cell)), min(rows - 1, int(z1 / cell)) + 1):
            for c in range(max(0, int(x0 / cell)), min(cols - 1, int(x1 / cell)) + 1):
                if grid[r, c] >= 1.0:
                    continue
                dx, dz = (c + 0.5) * cell - px, (r + 0.5) * cell - pz
                s, t = (dx * vz - dz * vx) / det, (dz * ux - dx * uz) / det
                if 0.0 <= s <= 1.0 and 0.0 <= t <= 1.0 and cover(kind[n, 0], s, t, form[n], kind[n, 3]) == SOLID:
                    grid[r, c] = 1.0
