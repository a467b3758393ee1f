"""Render a frame of toytown: the image, the labels, the instances and the depth."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import kinds as k
from .domains import STYLES
from .raster import cast, planes, rasterise, row_bounds
from .scene import Camera, Patches
from .sensor import expose
from .shade import light
from .street import lay_out
from .style import Style
from .weather import Sky, draw_sky

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


class Drawing(NamedTuple):
    """The nearest patch of each finer pixel of one view of a scene."""

    patches: Patches
    camera: Camera
    forms: np.ndarray  # float64 [N, 3, 3], see `planes`
    drawn: np.ndarray  # int32 [H, W]: patch indices of the image, -1 is the sky
    named: np.ndarray  # int32 [H, W]: those of the label and the depth
    inverse: np.ndarray  # float64 [H, W]: inverse depth (1/m) of `named`


def frame(domain: str | Style, seed: int, index: int, size: tuple[int, int] = (256, 512), split: int = 0) -> Frame:
    """Render frame `index` of a domain ("gta5", "synthia", "cityscapes"); the same arguments give the same bytes.

    A style of one's own may stand for the name. `size` is (height, width) in pixels; `split` is 0 for training, 1 for
    validation frames and 2 for those of a stream.
    """
    style = STYLES[domain] if isinstance(domain, str) else domain
    rng = np.random.default_rng((seed, style.code, split, index))
    scene, camera = lay_out(style, rng)
    sky = draw_sky(scene, style)
    drawing = draw(scene.freeze(), camera, size)
    contacts = np.array(scene.contacts).reshape(-1, 12)
    return describe(drawing, expose(shine(drawing, contacts, sky, style), style.sensor, rng))


def draw(patches: Patches, camera: Camera, size: tuple[int, int]) -> Drawing:
    """Find the nearest patch of each finer pixel of an image of `size`."""
    fine = (size[0] * SAMPLES, size[1] * SAMPLES)
    forms = planes(patches, camera, fine)
    rows = row_bounds(patches, camera, fine)
    drawn, named = np.full(fine, -1, np.int32), np.full(fine, -1, np.int32)
    drawn_q, named_q = np.zeros(fine), np.zeros(fine)
    rasterise(forms, rows, patches.kind, patches.form, drawn, drawn_q, named, named_q)
    return Drawing(patches, camera, forms, drawn, named, named_q)


def describe(drawing: Drawing, image_HW3: np.ndarray) -> Frame:
    """Return the frame of an image, with its labels, instances and depth."""
    patches = drawing.patches
    # The label of a pixel is that of one of its finer pixels: classes cannot be averaged.
    nearest, inverse = drawing.named[::SAMPLES, ::SAMPLES], drawing.inverse[::SAMPLES, ::SAMPLES]
    sky = nearest < 0
    depth = np.full(nearest.shape, SKY_CM, np.uint16)
    depth[~sky] = np.minimum(np.rint(100.0 / inverse[~sky]), SKY_CM - 1)
    return Frame(
        image=image_HW3,
        label=np.where(sky, np.uint8(k.SKY), patches.label[nearest]),
        instance=np.where(sky, np.uint16(0), patches.instance[nearest]),
        depth_cm=depth,
        focal=drawing.camera.focal * nearest.shape[1],
    )


def shine(drawing: Drawing, contacts: np.ndarray, sky: Sky, style: Style) -> np.ndarray:
    """Compute the light that the camera sees: float32 [H, W, 3], linear.

    `contacts` float64 [N, 12] are footprints: corner, u, v, velocity.
    """
    patches, camera, weather = drawing.patches, drawing.camera, style.weather
    height, width = drawing.drawn.shape
    directions = camera.rotation().T @ camera.rays((height, width))
    air = np.array([*sky.air, weather.texture, weather.grain, 1 / (camera.focal * width)])
    shadow, contact = _ground_maps(patches, contacts, sky.toward)
    lengths = np.stack([np.linalg.norm(patches.u, axis=1), np.linalg.norm(patches.v, axis=1)], 1)
    normal = np.cross(patches.u, patches.v)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    out = np.zeros((height // SAMPLES, width // SAMPLES, 3), np.float32)
    light(
        drawing.drawn, drawing.forms, patches.kind, patches.look, patches.color, lengths, normal, directions,
        shadow, contact, CELL, LEFT, camera.height, sky.sun, sky.sky, air, SAMPLES, out,
    )  # fmt: skip
    return out


def _ground_maps(patches: Patches, contacts: np.ndarray, toward) -> tuple[np.ndarray, np.ndarray]:
    """Return two float32 maps of the ground: the shadow of the sun, and the contact shadows below objects."""
    shadow, contact = np.zeros(CELLS, np.float32), np.zeros(CELLS, np.float32)
    casts = patches.casts
    parts = (patches.corner[casts], patches.u[casts], patches.v[casts], patches.kind[casts], patches.form[casts])
    cast(shadow, CELL, LEFT, *parts, -toward[0] / toward[1], -toward[2] / toward[1])
    corner, u, v = (np.ascontiguousarray(contacts[:, i : i + 3]) for i in (0, 3, 6))
    kind, form = np.zeros((len(contacts), 4), np.int64), np.zeros((len(contacts), 4))
    cast(contact, CELL, LEFT, corner, u, v, kind, form, 0.0, 0.0)
    return _blur(shadow, 1), _blur(contact, 2)


def _blur(grid: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        wide = np.pad(grid, 1, mode="edge")
        rows = (wide[:-2] + wide[1:-1] + wide[2:]) / np.float32(3)
        grid = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(3)
    return grid
