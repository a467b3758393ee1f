"""Collect the patches of a scene: textured parallelograms in metres (x right, y up, z forward from the camera)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import kinds as k

Vec = tuple[float, float, float]


class Pose(NamedTuple):
    """The position and heading of an object, whose local axes a, b, c point right, up and forward.

    A mirror of -1 swaps left and right, so that a flat figure faces the other way.
    """

    x: float
    y: float
    z: float
    heading: float = 0.0
    mirror: float = 1.0

    def point(self, a: float, b: float, c: float = 0.0) -> Vec:
        """Return the world coordinates of a local point."""
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        a *= self.mirror
        return (self.x + a * cos + c * sin, self.y + b, self.z - a * sin + c * cos)

    def vector(self, a: float, b: float, c: float = 0.0) -> Vec:
        """Return the world direction of a local vector."""
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        a *= self.mirror
        return (a * cos + c * sin, b, -a * sin + c * cos)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at (0, height, 0): angles in radians (pitch > 0 looks down), focal in image widths."""

    height: float
    pitch: float
    yaw: float
    roll: float
    focal: float

    def rotation(self) -> np.ndarray:
        """Return float64 [3, 3] whose rows are the camera's right, up and forward axes in the world."""
        (sp, cp), (sy, cy), (sr, cr) = ((math.sin(a), math.cos(a)) for a in (self.pitch, self.yaw, self.roll))
        yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
        return roll @ pitch @ yaw

    def rays(self, size: tuple[int, int]) -> np.ndarray:
        """Return float64 [3, 3]: from a pixel (column, row, 1) to its direction (right, up, forward) at z-depth 1.

        A pixel (column, row) looks along ((column + 1/2 - width/2)/focal, -(row + 1/2 - height/2)/focal, 1).
        """
        height, width = size
        focal = self.focal * width
        return np.array(
            [[1 / focal, 0, (0.5 - width / 2) / focal], [0, -1 / focal, (height / 2 - 0.5) / focal], [0, 0, 1]]
        )


class Patches(NamedTuple):
    """The patches of one scene as arrays; `Scene.patch` explains each."""

    corner: np.ndarray  # float64 [N, 3]
    u: np.ndarray  # float64 [N, 3]
    v: np.ndarray  # float64 [N, 3]
    label: np.ndarray  # uint8 [N]
    instance: np.ndarray  # uint16 [N]
    kind: np.ndarray  # int64 [N, 4]: outline, material, curve, seed
    form: np.ndarray  # float64 [N, 4]
    look: np.ndarray  # float64 [N, 4]
    color: np.ndarray  # float64 [N, 6]: colour and accent, linear light
    casts: np.ndarray  # bool [N]
    velocity: np.ndarray  # float64 [N, 3]: metres from one frame to the next


class Scene:
    """Collect the patches of a scene; `rng` makes all random choices but speeds, and `motion` those.

    Without `motion` the scene stands still.
    """

    def __init__(self, rng: np.random.Generator, motion: np.random.Generator | None = None):
        self.rng = rng
        self.contacts: list[tuple] = []  # footprints that darken the ground: corner, u, v, velocity
        self._motion = motion
        self._rows: list[tuple] = []
        self._instances = 0
        self._velocity = (0.0, 0.0, 0.0)

    def __len__(self) -> int:
        return len(self._rows)

    def between(self, low_high: tuple[float, float]) -> float:
        """Draw a number uniformly from an interval."""
        return low_high[0] + (low_high[1] - low_high[0]) * self.rng.random()

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return self.rng.random() < probability

    def pick(self, options):
        """Draw one item of a sequence uniformly."""
        return options[int(self.rng.random() * len(options))]

    def tint(self, options, spread: float = 0.12) -> Vec:
        """Draw one of the colours (display values, 0 to 255) and vary its brightness, and its hue a little."""
        gain = 1.0 + spread * (2.0 * self.rng.random() - 1.0)
        color = self.pick(options)
        return tuple(min(255.0, c * gain * (1.0 + 0.3 * spread * (2.0 * self.rng.random() - 1.0))) for c in color)

    def new_instance(self) -> int:
        """Return the next instance id, from 1."""
        self._instances += 1
        return self._instances

    def speed(self, low_high: tuple[float, float]) -> float:
        """Draw a speed, in metres from one frame to the next; 0 in a scene that stands still."""
        return 0.0 if self._motion is None else float(self._motion.uniform(*low_high))

    @contextmanager
    def moving(self, x: float = 0.0, z: float = 0.0) -> Iterator[None]:
        """Let all that is built inside this block move to the right and forward, in metres from frame to frame."""
        self._velocity = (x, 0.0, z)
        try:
            yield
        finally:
            self._velocity = (0.0, 0.0, 0.0)

    def patch(
        self,
        corner: Vec,
        u: Vec,
        v: Vec,
        label: int,
        material: int,
        color: Vec,
        *,
        accent: Vec = (0.0, 0.0, 0.0),
        outline: int = k.RECT,
        form: tuple = (),
        look: tuple = (),
        curve: int = k.FLAT,
        instance: int = 0,
        casts: bool = False,
    ) -> None:
        """Add the parallelogram corner + s u + t v, 0 <= s, t <= 1; colours are display values from 0 to 255."""
        seed = int(self.rng.random() * (1 << 20))
        pad = (0.0, 0.0, 0.0, 0.0)
        form, look = (*form, *pad)[:4], (*look, *pad)[:4]
        kind = (outline, material, curve, seed)
        ends = (label, instance, casts, *self._velocity)
        self._rows.append((*corner, *u, *v, *kind, *form, *look, *color, *accent, *ends))

    def flat(self, x: tuple[float, float], y: float, z: tuple[float, float], label: int, material: int, color, **more):
        """Add a horizontal patch over intervals of x and z at the height y."""
        (x0, x1), (z0, z1) = x, z
        self.patch((x0, y, z0), (x1 - x0, 0.0, 0.0), (0.0, 0.0, z1 - z0), label, material, color, **more)

    def block(self, pose: Pose, low: Vec, high: Vec, label: int, material: int, color: Vec, **more) -> None:
        """Add the four sides and the top of a box between two local corners."""
        (a0, b0, c0), (a1, b1, c1) = low, high
        up, across, along = pose.vector(0, b1 - b0, 0), pose.vector(a1 - a0, 0, 0), pose.vector(0, 0, c1 - c0)
        for corner, side in (((a0, b0, c0), across), ((a0, b0, c1), across)):
            self.patch(pose.point(*corner), side, up, label, material, color, **more)
        for corner, side in (((a0, b0, c0), along), ((a1, b0, c0), along)):
            self.patch(pose.point(*corner), side, up, label, material, color, **more)
        self.patch(pose.point(a0, b1, c0), across, along, label, k.PLAIN, color, **{**more, "look": ()})

    def limb(self, pose: Pose, start: tuple, end: tuple, width: float, label: int, material: int, color, **more):
        """Add a bar with round ends between two local points (a, b), in the plane c = depth."""
        depth = more.pop("depth", 0.0)
        da, db = end[0] - start[0], end[1] - start[1]
        length = math.hypot(da, db)
        # The round ends lie half a width beyond the two points.
        ea, eb = 0.5 * width * da / length, 0.5 * width * db / length
        na, nb = -db / length * width, da / length * width
        corner = pose.point(start[0] - ea - na / 2, start[1] - eb - nb / 2, depth)
        across, along = pose.vector(na, nb), pose.vector(da + 2 * ea, db + 2 * eb)
        form = ((length + width) / width,)
        more = {"curve": k.CYLINDER, **more}
        self.patch(corner, across, along, label, material, color, outline=k.CAPSULE, form=form, **more)

    def disc(self, pose: Pose, center: tuple, size: tuple, label: int, material: int, color, **more) -> None:
        """Add an ellipse (or another outline) of size (width, height) around a local point (a, b)."""
        depth = more.pop("depth", 0.0)
        corner = pose.point(center[0] - size[0] / 2, center[1] - size[1] / 2, depth)
        more = {"outline": k.ELLIPSE, **more}
        self.patch(corner, pose.vector(size[0], 0), pose.vector(0, size[1]), label, material, color, **more)

    def contact(self, pose: Pose, width: float, length: float) -> None:
        """Darken the ground below an object with this footprint."""
        corner = pose.point(-width / 2, 0.0, -length / 2)
        across, along = pose.vector(width, 0, 0), pose.vector(0, 0, length)
        self.contacts.append((*corner, *across, *along, *self._velocity))

    def freeze(self) -> Patches:
        """Return the patches as arrays, colours in linear light."""
        rows = np.array(self._rows, np.float64)
        return Patches(
            corner=rows[:, 0:3].copy(),
            u=rows[:, 3:6].copy(),
            v=rows[:, 6:9].copy(),
            label=rows[:, 27].astype(np.uint8),
            instance=rows[:, 28].astype(np.uint16),
            kind=rows[:, 9:13].astype(np.int64),
            form=rows[:, 13:17].copy(),
            look=rows[:, 17:21].copy(),
            color=(rows[:, 21:27] / 255.0) ** 2.2,
            casts=rows[:, 29] > 0,
            velocity=rows[:, 30:33].copy(),
        )
