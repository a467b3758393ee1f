"""Render a frame of toytown: the image, the labels, the instances and the depth."""

from dataclasses import dataclass

import numpy as np

from . import kinds as k
from .domains import STYLES
from .raster import cast, planes, rasterise, row_bounds
from .scene import Camera, Patches, Scene
from .sensor import expose
from .shade import light
from .street import lay_out
from .style import Style

SKY_CM = 65535
SAMPLES = 2  # finer pixels to a pixel, each way
CELL, LEFT, CELLS = 0.25, -40.0, (400, 320)  # the ground maps: metres, metres, (z, x)


@dataclass(frozen=True)
class Frame:
    """One rendered frame."""

    image: np.ndarray  # uint8 [H, W, 3]
    label: np.ndarray  # uint8 [H, W]: Cityscapes label ids
    instance: np.ndarray  # uint16 [H, W]: from 1 for people and vehicles, 0 elsewhere
    depth_cm: np.ndarray  # uint16 [H, W]: z-depth in centimetres, sky 65535
    focal: float  # of the camera, in pixels


def frame(domain: str | Style, seed: int, index: int, size: tuple[int, int] = (256, 512), split: int = 0) -> Frame:
    """Render frame `index` of a domain ("gta5", "synthia", "cityscapes"); the same arguments give the same bytes.

    A style of one's own may stand for the name. `size` is (height, width) in pixels; `split` is 0 for training, 1 for
    validation frames and 2 for those of a stream.
    """
    style = STYLES[domain] if isinstance(domain, str) else domain
    rng = np.random.default_rng((seed, style.code, split, index))
    scene, camera = lay_out(style, rng)
    patches = scene.freeze()
    fine = (size[0] * SAMPLES, size[1] * SAMPLES)
    forms = planes(patches, camera, fine)
    rows = row_bounds(patches, camera, fine)
    drawn, named = np.full(fine, -1, np.int32), np.full(fine, -1, np.int32)
    drawn_q, named_q = np.zeros(fine), np.zeros(fine)
    rasterise(forms, rows, patches.kind, patches.form, drawn, drawn_q, named, named_q)
    linear = _light(scene, patches, camera, style, rng, forms, drawn, size)
    # The label of a pixel is that of one of its finer pixels: classes cannot be averaged.
    nearest, inverse = named[::SAMPLES, ::SAMPLES], named_q[::SAMPLES, ::SAMPLES]
    sky = nearest < 0
    depth = np.full(size, SKY_CM, np.uint16)
    depth[~sky] = np.minimum(np.rint(100.0 / inverse[~sky]), SKY_CM - 1)
    return Frame(
        image=expose(linear, style.sensor, rng),
        label=np.where(sky, np.uint8(k.SKY), patches.label[nearest]),
        instance=np.where(sky, np.uint16(0), patches.instance[nearest]),
        depth_cm=depth,
        focal=camera.focal * size[1],
    )


def _light(scene: Scene, patches: Patches, camera: Camera, style: Style, rng, forms, drawn, size) -> np.ndarray:
    """Draw random weather for a frame and compute its light: float32 [H, W, 3], linear."""
    weather = style.weather
    height, width = drawn.shape
    azimuth, elevation = rng.uniform(-np.pi, np.pi), scene.between(weather.sun_height)
    flat = np.cos(elevation)
    toward = (flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth))
    cloudiness, sunshine = scene.between(weather.cloudiness), scene.between(weather.sun)
    sun_color = np.array(weather.sun_color) * sunshine
    ambient = np.array(weather.ambient_color) * scene.between(weather.ambient)
    sun = np.array([*toward, *sun_color, *ambient, 0.92])
    zenith, horizon, cloud = (
        (np.array(scene.tint(c, 0.06)) / 255) ** 2.2 for c in (weather.zenith, weather.horizon, weather.cloud)
    )
    sky = np.array([*zenith, *horizon, *cloud, cloudiness, float(rng.integers(1 << 20))])
    rotation, focal = camera.rotation(), camera.focal * width
    pixel = np.array(
        [[1 / focal, 0, (0.5 - width / 2) / focal], [0, -1 / focal, (height / 2 - 0.5) / focal], [0, 0, 1]]
    )
    air = np.array([*(0.94 * horizon), scene.between(weather.haze), weather.texture, weather.grain, 1 / focal])
    shadow, contact = _ground_maps(scene, patches, toward)
    lengths = np.stack([np.linalg.norm(patches.u, axis=1), np.linalg.norm(patches.v, axis=1)], 1)
    normal = np.cross(patches.u, patches.v)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    out = np.zeros((*size, 3), np.float32)
    light(
        drawn, forms, patches.kind, patches.look, patches.color, lengths, normal, rotation.T @ pixel,
        shadow, contact, CELL, LEFT, camera.height, sun, sky, air, SAMPLES, out,
    )  # fmt: skip
    return out


def _ground_maps(scene: Scene, patches: Patches, toward) -> tuple[np.ndarray, np.ndarray]:
    """Return two float32 maps of the ground: the shadow of the sun, and the contact shadows below objects."""
    shadow, contact = np.zeros(CELLS, np.float32), np.zeros(CELLS, np.float32)
    casts = patches.casts
    parts = (patches.corner[casts], patches.u[casts], patches.v[casts], patches.kind[casts], patches.form[casts])
    cast(shadow, CELL, LEFT, *parts, -toward[0] / toward[1], -toward[2] / toward[1])
    rows = np.array(scene.contacts).reshape(-1, 9)
    corner, u, v = (np.ascontiguousarray(rows[:, i : i + 3]) for i in (0, 3, 6))
    kind, form = np.zeros((len(rows), 4), np.int64), np.zeros((len(rows), 4))
    cast(contact, CELL, LEFT, corner, u, v, kind, form, 0.0, 0.0)
    return _blur(shadow, 1), _blur(contact, 2)


def _blur(grid: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        wide = np.pad(grid, 1, mode="edge")
        rows = (wide[:-2] + wide[1:-1] + wide[2:]) / np.float32(3)
        grid = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(3)
    return grid
