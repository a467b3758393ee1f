"""Build houses, walls, fences and parks: the two sides of a street."""

import math

from . import kinds as k
from .plants import bush, hedge, tree
from .scene import Pose, Scene
from .style import Style

Span = tuple[float, float]
LAWN = 0.15  # metres: a lawn covers the pavement that reaches under it


def house(scene: Scene, style: Style, side: int, x: float, z: Span, depth: float = 14.0) -> None:
    """Put up one house whose front stands at |x| on a side of the street (-1 left, 1 right) along z."""
    layout, palette = style.layout, style.palette
    height = scene.between(layout.building_height)
    color, trim = scene.tint(palette.facade), scene.tint(palette.trim)
    window = scene.tint(palette.window)
    glass = 1.0 if scene.chance(layout.glass_front) else 0.0
    storey = scene.between(layout.storey)
    height = max(2, round(height / storey)) * storey
    shops = 1.0 if scene.chance(0.6) else 0.0
    look = (scene.between((1.4, 2.2) if glass else (2.0, 3.2)), storey, glass, shops)
    more = {"accent": window, "look": look, "casts": True}
    far = x + depth
    long = z[1] - z[0]
    scene.patch((side * x, 0.1, z[0]), (0, 0, long), (0, height, 0), k.BUILDING, k.FACADE, color, **more)
    for end in z:
        scene.patch(
            (side * x, 0.1, end), (side * depth, 0, 0), (0, height, 0), k.BUILDING, k.FACADE, color,
            **{**more, "look": (look[0], storey, glass, 0.0)},
        )  # fmt: skip
    # A cornice stands out from the wall, and a pitched roof leans back from it.
    scene.patch((side * (x - 0.25), height - 0.3, z[0]), (0, 0, long), (0, 0.45, 0), k.BUILDING, k.PLAIN, trim)
    if scene.chance(layout.pitched_roof):
        roof, rise = scene.tint(palette.roof), scene.between((2.5, 4.5))
        lean = (side * depth / 2, rise, 0)
        scene.patch((side * (x - 0.3), height + 0.1, z[0]), (0, 0, long), lean, k.BUILDING, k.TILES, roof, look=(0.4,))
        form = (0.5, 0.5)
        for end in z:
            scene.patch(
                (side * x, height + 0.1, end), (side * depth, 0, 0), (0, rise, 0), k.BUILDING, k.PLAIN, color,
                outline=k.TRAPEZOID, form=form, look=(0.3, 2.0),
            )  # fmt: skip
    else:
        scene.flat(_ordered(side * x, side * far), height + 0.1, z, k.BUILDING, k.PLAIN, trim)


def _ordered(a: float, b: float) -> Span:
    return (a, b) if a < b else (b, a)


def walled(scene: Scene, style: Style, side: int, x: float, z: Span) -> None:
    """Put up a wall of bricks or plaster with trees behind it."""
    palette = style.palette
    height, color = scene.between((2.2, 3.2)), scene.tint(palette.wall)
    course = scene.between((0.14, 0.3))
    long = z[1] - z[0]
    more = {"look": (course,), "casts": True, "accent": scene.tint(palette.trim)}
    scene.patch((side * x, 0.1, z[0]), (0, 0, long), (0, height, 0), k.WALL, k.BRICK, color, **more)
    scene.patch((side * x, 0.1, z[0]), (side * 0.4, 0, 0), (0, height, 0), k.WALL, k.BRICK, color, **more)
    scene.flat(_ordered(side * (x - 0.06), side * (x + 0.4)), height + 0.1, z, k.WALL, k.PLAIN, more["accent"])
    # The coping and the pillars are part of the wall.
    scene.patch((side * (x - 0.06), height - 0.05, z[0]), (0, 0, long), (0, 0.15, 0), k.WALL, k.PLAIN, more["accent"])
    pillars = max(2, int(long / 4.0))
    for i in range(pillars + 1):
        at = z[0] + (long - 0.5) * i / pillars
        low, high = (-0.1, 0.0, 0.0), (0.4, height + 0.25, 0.5)
        scene.block(Pose(side * (x + 0.15) - 0.15, 0.1, at), low, high, k.WALL, k.BRICK, color, **more)
    _yard(scene, style, side, x + 0.5, z)


def fenced(scene: Scene, style: Style, side: int, x: float, z: Span) -> None:
    """Put up a fence of pickets, boards or bars with a lawn and a house behind it."""
    height, color = scene.between((1.4, 2.1)), scene.tint(style.palette.fence)
    long = z[1] - z[0]
    type_ = scene.rng.integers(3)
    outline, pitch, filled, pointed = (
        (k.PICKETS, 0.3, 0.62, 1.0),
        (k.PICKETS, 0.42, 0.86, 0.0),
        (k.BARS, 0.3, 0.34, 0.0),
    )[type_]
    for corner, along, length in (
        ((side * x, 0.1, z[0]), (0, 0, long), long),
        ((side * x, 0.1, z[0]), (side * 7.0, 0, 0), 7.0),
    ):
        form = (round(length / pitch), filled, pointed)
        scene.patch(
            corner, along, (0, height, 0), k.FENCE, k.PLANKS, color,
            outline=outline, form=form, look=(pitch,), casts=True,
        )  # fmt: skip
    posts = max(2, int(long / 3.0))
    for i in range(posts + 1):
        at = z[0] + (long - 0.15) * i / posts
        scene.block(Pose(side * x, 0.1, at), (-0.09, 0, 0), (0.09, height + 0.12, 0.16), k.FENCE, k.PLAIN, color)
    _yard(scene, style, side, x + 0.4, z)


def _yard(scene: Scene, style: Style, side: int, x: float, z: Span) -> None:
    grass = scene.tint(style.palette.grass)
    scene.flat(_ordered(side * x, side * (x + 40)), LAWN, z, k.TERRAIN, k.GRASS, grass)
    for _ in range(2 + int(scene.rng.integers(3))):
        tree(scene, style, side * scene.between((x + 2.0, x + 6.0)), scene.between((z[0] + 1, z[1] - 1)))
    if scene.chance(0.6):
        house(scene, style, side, x + scene.between((7.0, 10.0)), (z[0] + 0.5, z[1] - 0.5))


def park(scene: Scene, style: Style, side: int, x: float, z: Span) -> None:
    """Lay out a lawn with trees, bushes and sometimes a hedge."""
    grass = scene.tint(style.palette.grass)
    scene.flat(_ordered(side * x, side * (x + 60)), LAWN, z, k.TERRAIN, k.GRASS, grass)
    for _ in range(2 + int((z[1] - z[0]) / 5)):
        tree(scene, style, side * scene.between((x + 4.0, x + 18.0)), scene.between(z))
    for _ in range(3):
        bush(scene, style, side * scene.between((x + 2.0, x + 8.0)), scene.between(z))
    if scene.chance(0.35):
        hedge(scene, style, side, x + 5.0, z)
    else:
        hedge(scene, style, side, x + 20.0, z)


def skyline(scene: Scene, style: Style, z: float, road: Span) -> None:
    """Close the street far away with houses and trees."""
    x = -90.0
    while x < 90.0:
        wide = scene.between((9.0, 18.0))
        height = scene.between(style.layout.building_height) * 0.75
        color, look = scene.tint(style.palette.facade), (2.6, 3.2, 0.0, 0.0)
        if not road[0] - 6 < x + wide / 2 < road[1] + 6 or scene.chance(0.5):
            scene.patch(
                (x, 0, z + scene.between((0, 10))), (wide, 0, 0), (0, height, 0), k.BUILDING, k.FACADE, color,
                accent=scene.tint(style.palette.window), look=look,
            )  # fmt: skip
        x += wide
    for _ in range(14):
        tree(scene, style, scene.between((-60.0, 60.0)), z - scene.between((1.0, 6.0)))
    for side in (-1, 1):
        reach = math.hypot(*road)
        scene.flat(_ordered(side * 0.0, side * (reach + 90.0)), 0.02, (z - 8.0, z), k.TERRAIN, k.GRASS,
                   scene.tint(style.palette.grass))  # fmt: skip
