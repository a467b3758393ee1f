"""Put up lamp posts, traffic lights, signs and bins."""

from . import kinds as k
from .scene import Pose, Scene
from .style import Style

RED, AMBER, GREEN = (235, 40, 30), (240, 170, 40), (60, 220, 120)
WHITE, BLACK, BLUE, YELLOW, GREENBOARD = (235, 235, 232), (30, 30, 30), (30, 70, 160), (240, 195, 40), (20, 105, 70)


def pole(scene: Scene, pose: Pose, height: float, width: float, color) -> None:
    """Put up a straight pole."""
    scene.patch(
        pose.point(-width / 2, 0), pose.vector(width, 0), pose.vector(0, height), k.POLE, k.PLAIN, color,
        look=(0.15, 3.0), curve=k.CYLINDER, casts=True,
    )  # fmt: skip
    scene.contact(pose, 2 * width, 2 * width)


def lamp_post(scene: Scene, style: Style, x: float, z: float, toward: int) -> None:
    """Put up a street lamp whose arm reaches over the road (toward: -1 left, 1 right)."""
    color, height = scene.tint(style.palette.metal), scene.between((5.5, 8.5))
    pose = Pose(x, 0.1, z)
    pole(scene, pose, height, scene.between((0.26, 0.34)), color)
    scene.limb(pose, (0, height), (toward * 1.6, height + 0.35), 0.18, k.POLE, k.PLAIN, color)
    corner = pose.point(toward * 1.2 - 0.3, height + 0.22, -0.05)
    scene.patch(corner, (1.0 * toward, 0.12, 0), (0, 0.2, 0), k.POLE, k.PLAIN, color)


def signal_head(scene: Scene, style: Style, pose: Pose, size: float) -> None:
    """Hang a traffic light of three lamps, one lit, with its lower edge at the pose."""
    housing = scene.tint(style.palette.signal)
    wide, high = 0.46 * size, 1.25 * size
    back = (0.12 * size, 0.14 * size) if style.layout.american else (0.05 * size, 0.05 * size)
    for grow, color, depth in ((back, (18, 20, 20), -0.1), ((0.0, 0.0), housing, -0.14)):
        corner = pose.point(-wide / 2 - grow[0], -grow[1], depth)
        across, up = (wide + 2 * grow[0], 0, 0), (0, high + 2 * grow[1], 0)
        scene.patch(corner, across, up, k.LIGHT, k.PLAIN, color)
    lit = int(scene.rng.integers(3))
    for i, color in enumerate((GREEN, AMBER, RED)):
        gain, shade = (2.2, color) if i == lit else (0.0, tuple(0.3 * c for c in color))
        center = (0.0, high * (0.18 + 0.32 * i))
        scene.disc(pose, center, (0.34 * size,) * 2, k.LIGHT, k.LAMP, shade, depth=-0.18, look=(gain,))


def traffic_light(scene: Scene, style: Style, x: float, z: float, toward: int) -> None:
    """Put up a pole with a traffic light on it and, sometimes, one on an arm over the road."""
    metal, size = scene.tint(style.palette.metal), scene.between((0.85, 1.15))
    pose, height = Pose(x, 0.1, z), scene.between((3.4, 4.2))
    arm = scene.chance(0.7 if style.layout.american else 0.35)
    pole(scene, pose, 6.0 if arm else height, 0.27, metal)
    signal_head(scene, style, Pose(x, height - 1.4 * size, z), size)
    if arm:
        reach = scene.between((2.8, 4.2))
        scene.limb(pose, (0, 5.7), (toward * reach, 5.9), 0.2, k.POLE, k.PLAIN, metal)
        signal_head(scene, style, Pose(x + toward * (reach - 0.2), 5.0, z), size)


def _plate(scene: Scene, pose: Pose, outline: int, size: tuple, border, face, form=(), rim: float = 0.72) -> None:
    wide, high = size
    for scale, color, depth in ((1.0, border, -0.08), (rim, face, -0.1)):
        more = {"outline": outline, "form": form, "look": (0.25,), "depth": depth}
        scene.disc(pose, (0, high / 2), (wide * scale, high * scale), k.SIGN, k.LAMP, color, **more)


def _glyph(scene: Scene, pose: Pose, center: tuple, size: tuple, color) -> None:
    corner = pose.point(center[0] - size[0] / 2, center[1] - size[1] / 2, -0.13)
    scene.patch(corner, (size[0], 0, 0), (0, size[1], 0), k.SIGN, k.LAMP, color, look=(0.25,))


def sign(scene: Scene, style: Style, x: float, z: float) -> None:
    """Put up a pole with one or two traffic signs."""
    pole(scene, Pose(x, 0.1, z), 3.4, 0.21, scene.tint(style.palette.metal))
    size, at = scene.between((0.8, 1.05)), Pose(x, 2.45, z)
    type_ = int(scene.rng.integers(5))
    if type_ == 0:
        _plate(scene, at, k.OCTAGON, (size, size), WHITE, RED, rim=0.9)
        _glyph(scene, at, (0, size / 2), (0.6 * size, 0.2 * size), WHITE)
    elif type_ == 1:
        face = YELLOW if style.layout.american else WHITE
        border = BLACK if style.layout.american else RED
        outline, form = (k.DIAMOND, ()) if style.layout.american else (k.TRAPEZOID, (0.5, 0.5))
        _plate(scene, at, outline, (1.15 * size, size), border, face, form, 0.8 if style.layout.american else 0.6)
        _glyph(scene, at, (0, 0.45 * size), (0.12 * size, 0.3 * size), BLACK)
    elif type_ == 2:
        _plate(scene, at, k.ELLIPSE, (size, size), RED, WHITE)
        _glyph(scene, at, (0, size / 2), (0.3 * size, 0.3 * size), BLACK)
    elif type_ == 3:
        _plate(scene, at, k.RECT, (size, 1.15 * size), WHITE, GREENBOARD if style.layout.american else BLUE, rim=0.9)
        _glyph(scene, at, (0, 0.55 * size), (0.25 * size, 0.6 * size), WHITE)
    else:
        _plate(scene, at, k.ELLIPSE, (size, size), WHITE, BLUE, rim=0.92)
        _glyph(scene, at, (0, size / 2), (0.16 * size, 0.55 * size), WHITE)
    if scene.chance(0.5):
        under = Pose(x, 1.75, z)
        _plate(scene, under, k.RECT, (0.75 * size, 0.5 * size), BLACK, WHITE, rim=0.9)


def board(scene: Scene, style: Style, x: float, z: float) -> None:
    """Put up a large direction board on two legs or on a mast."""
    metal = scene.tint(style.palette.metal)
    wide, high = scene.between((1.8, 2.6)), scene.between((1.0, 1.4))
    for a in (-0.35 * wide, 0.35 * wide):
        pole(scene, Pose(x + a, 0.1, z), 2.6, 0.2, metal)
    pose = Pose(x, 2.3, z)
    face = GREENBOARD if style.layout.american else scene.pick((BLUE, YELLOW))
    ink = BLACK if face == YELLOW else WHITE
    _plate(scene, pose, k.RECT, (wide, high), ink, face, rim=0.94)
    for row in (0.3, 0.65):
        _glyph(scene, pose, (-0.08 * wide, row * high), (0.6 * wide, 0.13 * high), ink)
        _glyph(scene, pose, (0.34 * wide, row * high), (0.1 * wide, 0.2 * high), ink)


def bin_(scene: Scene, style: Style, x: float, z: float) -> None:
    """Put a litter bin on the pavement: an object without a class."""
    pose = Pose(x, 0.1, z)
    scene.block(pose, (-0.28, 0, -0.28), (0.28, 1.0, 0.28), k.STATIC, k.PLAIN, scene.tint(((60, 80, 70), (90, 90, 88))))
    scene.contact(pose, 0.8, 0.8)
