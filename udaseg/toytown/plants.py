"""Grow trees, bushes and hedges."""

from . import kinds as k
from .scene import Pose, Scene
from .style import Style


def tree(scene: Scene, style: Style, x: float, z: float) -> None:
    """Grow a tree; by the style's share it is a palm or a conifer."""
    if scene.chance(style.layout.palms):
        return palm(scene, style, x, z) if style.layout.american else conifer(scene, style, x, z)
    return broadleaf(scene, style, x, z)


def broadleaf(scene: Scene, style: Style, x: float, z: float) -> None:
    """Grow a trunk with a round crown of lumps."""
    pose = Pose(x, 0.0, z)
    trunk, radius = scene.between((1.8, 2.8)), scene.between((1.3, 2.2))
    thick = scene.between((0.22, 0.4))
    bark, leaf = scene.tint(style.palette.bark), scene.tint(style.palette.leaf)
    scene.limb(
        pose, (0, 0), (scene.between((-0.2, 0.2)), trunk + radius), thick, k.VEGETATION, k.BARK, bark, casts=True
    )
    for _ in range(6):
        wide = radius * scene.between((0.9, 1.5))
        at = (radius * scene.between((-0.75, 0.75)), trunk + radius * scene.between((0.5, 1.7)))
        _lump(scene, pose, at, (wide, wide * 0.85), radius * scene.between((-0.7, 0.7)), leaf)
    _lump(scene, pose, (0, trunk + radius * 1.1), (2.2 * radius, 1.9 * radius), 0.0, leaf, casts=True)
    scene.contact(pose, 0.6, 0.6)


def _lump(scene: Scene, pose: Pose, at, size, depth: float, leaf, **more) -> None:
    scene.disc(
        pose, at, size, k.VEGETATION, k.LEAF, leaf,
        depth=depth, outline=k.CROWN, form=(5.0, 0.35, 0.5), curve=k.SPHERE, **more,
    )  # fmt: skip


def conifer(scene: Scene, style: Style, x: float, z: float) -> None:
    """Grow a dark cone of three tiers."""
    pose, height = Pose(x, 0.0, z), scene.between((4.5, 8.0))
    leaf = tuple(0.8 * c for c in scene.tint(style.palette.leaf))
    scene.limb(pose, (0, 0), (0, 1.2), 0.3, k.VEGETATION, k.BARK, scene.tint(style.palette.bark))
    wide = height * scene.between((0.38, 0.5))
    corner = pose.point(-wide / 2, 0.6)
    scene.patch(
        corner, (wide, 0, 0), (0, height, 0), k.VEGETATION, k.LEAF, leaf,
        outline=k.CONE, form=(6.0, 0.35), curve=k.CYLINDER, casts=True,
    )  # fmt: skip


def palm(scene: Scene, style: Style, x: float, z: float) -> None:
    """Grow a tall bare trunk with a tuft of drooping fronds."""
    pose, height = Pose(x, 0.0, z), scene.between((5.0, 9.0))
    bark, leaf = scene.tint(style.palette.bark), scene.tint(style.palette.leaf)
    lean = scene.between((-0.4, 0.4))
    scene.limb(pose, (0, 0), (lean, height), 0.32, k.VEGETATION, k.BARK, bark, casts=True)
    for i in range(9):
        reach = 2.1 * (i - 4) / 4.0
        tip = (lean + reach, height + scene.between((-0.3, 0.6)) + 0.7 - 0.45 * abs(reach))
        more = {"depth": scene.between((-0.5, 0.5)), "curve": k.FLAT}
        scene.limb(pose, (lean, height), tip, 0.5, k.VEGETATION, k.LEAF, leaf, **more)
        droop = (tip[0] + 0.35 * reach, tip[1] - scene.between((0.7, 1.1)))
        scene.limb(pose, tip, droop, 0.4, k.VEGETATION, k.LEAF, leaf, **more)


def bush(scene: Scene, style: Style, x: float, z: float) -> None:
    """Grow a low round bush."""
    pose, wide = Pose(x, 0.1, z), scene.between((1.0, 2.2))
    leaf = scene.tint(style.palette.leaf)
    for _ in range(3):
        at = (scene.between((-0.4, 0.4)) * wide, wide * scene.between((0.15, 0.35)))
        _lump(scene, pose, at, (wide, wide * 0.9), scene.between((-0.3, 0.3)), leaf)
    scene.contact(pose, wide, wide)


def hedge(scene: Scene, style: Style, side: int, x: float, z: tuple[float, float]) -> None:
    """Grow a long hedge along the street at |x|."""
    leaf, height, long = scene.tint(style.palette.leaf), scene.between((1.2, 2.4)), z[1] - z[0]
    more = {"outline": k.HEDGE, "form": (long / 1.5, 0.25), "casts": True}
    scene.patch((side * x, 0.1, z[0]), (0, 0, long), (0, height, 0), k.VEGETATION, k.LEAF, leaf, **more)
    more["form"] = (2.0, 0.25)
    scene.patch((side * x, 0.1, z[0]), (side * 2.0, 0, 0), (0, height, 0), k.VEGETATION, k.LEAF, leaf, **more)
