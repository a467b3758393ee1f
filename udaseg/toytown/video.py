"""Render the frames of a scene while camera and traffic move, with the exact optical flow between them."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np

from . import kinds as k
from .domains import STYLES
from .raster import NEAR
from .render import SAMPLES, Drawing, Frame, describe, draw, shine
from .scene import Camera, Patches
from .sensor import expose
from .street import lay_out
from .weather import draw_sky

MOTION = 17  # the part of a random seed that is for motion
SPEEDS = (0.25, 0.5, 0.75)  # metres a frame: whole cells of the ground maps, so that shadows stand still
TURN = 0.004  # radians a frame, at most
LONGEST = 10  # frames; further back the camera would stand before the beginning of the street
SAME_DEPTH = 0.02  # relative difference of the depths of one point in two frames


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video, and the motion of each of its pixels since the frame before it.

    `flow` float32 [2, H, W] leads to the pixel (x, y) of the frame before, in pixels to the right and down; 0 in the
    first frame. `seen` bool [H, W] is true where that point is in the frame before and nothing hides it there.
    """

    frame: Frame
    flow: np.ndarray
    seen: np.ndarray


def video(
    domain: str, seed: int, index: int, frames: int, size: tuple[int, int] = (256, 512), split: int = 0
) -> Iterator[VideoFrame]:
    """Render the last `frames` frames up to frame `index` of a domain, which `render.frame` renders alone, to the byte.

    A frame depends on its distance from the last one, and not on how many there are.
    """
    style = STYLES[domain]
    rng = np.random.default_rng((seed, style.code, split, index))
    motion = np.random.default_rng((seed, style.code, split, index, MOTION))
    speed, turn = float(motion.choice(SPEEDS)), float(motion.uniform(-TURN, TURN))
    scene, camera = lay_out(style, rng, motion)
    sky, patches, contacts = draw_sky(scene, style), scene.freeze(), np.array(scene.contacts).reshape(-1, 12)
    before: Drawing | None = None
    for offset in range(1 - frames, 1):
        own = camera if offset == 0 else replace(camera, yaw=camera.yaw + turn * offset)
        drawing = draw(_move(patches, offset, speed, camera, own), own, size)
        moved = contacts.copy()
        moved[:, 0:3] += offset * (contacts[:, 9:12] - (0.0, 0.0, speed))
        grain = None if offset == 0 else np.random.default_rng((seed, style.code, split, index, MOTION, -offset))
        image_HW3 = expose(shine(drawing, moved, sky, style), style.sensor, deepcopy(rng), grain)
        if before is None:
            flow_2HW, seen_HW = np.zeros((2, *size), np.float32), np.zeros(size, bool)
        else:
            flow_2HW, seen_HW = trace(drawing, before)
        yield VideoFrame(describe(drawing, image_HW3), flow_2HW, seen_HW)
        before = drawing


def _move(patches: Patches, offset: int, speed: float, first: Camera, own: Camera) -> Patches:
    """Return the patches as the camera sees them `offset` frames later; it moves forward by `speed` and turns."""
    if offset == 0:
        return patches
    corner = patches.corner + offset * (patches.velocity - (0.0, 0.0, speed))
    u, v = patches.u.copy(), patches.v.copy()
    # The bonnet moves and turns with the camera.
    bonnet, turned, lens = patches.label == k.EGO, first.rotation().T @ own.rotation(), (0.0, first.height, 0.0)
    corner[bonnet] = (patches.corner[bonnet] - lens) @ turned + lens
    u[bonnet], v[bonnet] = u[bonnet] @ turned, v[bonnet] @ turned
    return patches._replace(corner=corner, u=u, v=v)


def trace(now: Drawing, before: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Return where the point in each pixel was in the frame before: flow and `seen`, as in VideoFrame."""
    height, width = now.named.shape
    rows, columns = np.mgrid[0:height:SAMPLES, 0:width:SAMPLES]
    pixel_HW3 = np.stack([columns, rows, np.ones_like(rows)], -1).astype(np.float64)
    nearest_HW = now.named[rows, columns]
    sky_HW, patch_HW = nearest_HW < 0, np.maximum(nearest_HW, 0)
    # The place on the patch is the same in both frames.
    q_HW, s_HW, t_HW = np.einsum("hwij,hwj->ihw", now.forms[patch_HW], pixel_HW3)
    q_HW = np.where(sky_HW, 1.0, q_HW)
    parts, rotation, lens = before.patches, before.camera.rotation(), (0.0, before.camera.height, 0.0)
    point_HW3 = parts.corner[patch_HW] - lens
    point_HW3 += (s_HW / q_HW)[..., None] * parts.u[patch_HW] + (t_HW / q_HW)[..., None] * parts.v[patch_HW]
    far_HW3 = pixel_HW3 @ (now.camera.rotation().T @ now.camera.rays((height, width))).T
    point_HW3 = np.where(sky_HW[..., None], far_HW3, point_HW3) @ rotation.T
    depth_HW = point_HW3[..., 2]
    is_ahead_HW = depth_HW > NEAR
    safe_HW, focal = np.where(is_ahead_HW, depth_HW, 1.0), before.camera.focal * width
    x_HW = width / 2 - 0.5 + focal * point_HW3[..., 0] / safe_HW
    y_HW = height / 2 - 0.5 - focal * point_HW3[..., 1] / safe_HW
    flow_2HW = np.stack([x_HW - columns, y_HW - rows]) / SAMPLES
    # Labels have whole pixels: the nearest one of the frame before must show this point, and not what stands beside it.
    column_HW, row_HW = (
        SAMPLES * np.rint(np.clip(place, -1e6, 1e6) / SAMPLES).astype(np.int64) for place in (x_HW, y_HW)
    )
    inside_HW = is_ahead_HW & (column_HW >= 0) & (column_HW < width) & (row_HW >= 0) & (row_HW < height)
    there = np.where(inside_HW, row_HW, 0), np.where(inside_HW, column_HW, 0)
    is_sky_HW, inverse_HW = before.named[there] < 0, before.inverse[there]
    is_near_HW = np.abs(inverse_HW * safe_HW - 1.0) < SAME_DEPTH
    seen_HW = inside_HW & np.where(sky_HW, is_sky_HW, ~is_sky_HW & ((before.named[there] == nearest_HW) | is_near_HW))
    return np.where(is_ahead_HW, flow_2HW, 0.0).astype(np.float32), seen_HW
