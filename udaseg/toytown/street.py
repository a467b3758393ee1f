"""Lay out a street: the ground, both sides, furniture, and then the traffic on it."""

import math

import numpy as np

from . import kinds as k
from .buildings import fenced, house, park, skyline, walled
from .furniture import bin_, board, lamp_post, sign, traffic_light
from .plants import bush, tree
from .scene import Camera, Scene
from .style import Style
from .traffic import Road, pedestrians, two_wheelers, vehicles

FAR = 115.0  # metres to the end of the street
KERB = 0.14


def lay_out(style: Style, rng: np.random.Generator, motion: np.random.Generator | None = None) -> tuple[Scene, Camera]:
    """Build one random street scene in a style, and the camera that looks down it; `motion` draws speeds of traffic."""
    scene, layout = Scene(rng, motion), style.layout
    camera = Camera(
        height=scene.between(layout.camera_height),
        pitch=scene.between(layout.pitch),
        yaw=scene.between((-0.07, 0.07)),
        roll=scene.between((-0.012, 0.012)),
        focal=scene.between(layout.focal),
    )
    road = _road(scene, style)
    _ground(scene, style, road)
    for side in (-1, 1):
        _side(scene, style, road, side)
    skyline(scene, style, FAR, (road.left, road.right))
    vehicles(scene, style, road)
    two_wheelers(scene, style, road)
    pedestrians(scene, style, road)
    if layout.hood:
        _hood(scene, camera)
    return scene, camera


def _road(scene: Scene, style: Style) -> Road:
    layout, width = style.layout, 3.2
    left_lanes = int(scene.rng.integers(layout.lanes[0], layout.lanes[1] + 1))
    parking = (2.2 if scene.chance(0.7) else 0.3, 2.2 if scene.chance(0.7) else 0.3)
    junction = scene.between((15.0, 34.0)) if scene.chance(0.8) else None
    return Road(
        left=-width * (left_lanes + 0.5) - parking[0],
        right=width * 0.5 + parking[1],
        lanes=tuple(-width * i for i in range(left_lanes + 1)),
        parking=parking,
        junction=None if junction is None else (junction, junction + scene.between((7.0, 11.0))),
        sidewalk=(scene.between(layout.sidewalk), scene.between(layout.sidewalk)),
        verge=tuple(scene.between((1.4, 2.6)) if scene.chance(layout.verge) else 0.0 for _ in range(2)),
        tram_lane=-width * left_lanes if scene.chance(0.55) else None,
    )


def _ground(scene: Scene, style: Style, road: Road) -> None:
    palette = style.palette
    asphalt, marking = scene.tint(palette.asphalt), scene.tint(palette.marking, 0.05)
    worn = {"look": (0.35, 2.5)}
    scene.flat((-200, 200), -0.04, (-5, 400), k.TERRAIN, k.GRASS, scene.tint(palette.grass))
    scene.flat((road.left, road.right), 0.0, (-4, FAR), k.ROAD, k.ASPHALT, asphalt)
    if road.junction:
        for x in ((-80.0, road.left), (road.right, 80.0)):
            scene.flat(x, 0.0, road.junction, k.ROAD, k.ASPHALT, asphalt)
        crossing = (road.junction[0] - 4.2, road.junction[0] - 1.4)
        for x in np.arange(road.left + 0.5, road.right - 0.6, 1.1):
            scene.flat((x, x + 0.55), 0.012, crossing, k.ROAD, k.PLAIN, marking, **worn)
        scene.flat((-1.5, road.right - 0.2), 0.012, (crossing[0] - 1.2, crossing[0] - 0.8), k.ROAD, k.PLAIN, marking)
    middle = road.lanes[(len(road.lanes) - 1) // 2] - 1.6
    for x in [lane - 1.6 for lane in road.lanes[:-1]]:
        if style.layout.american and x == middle:
            for line in (x - 0.18, x + 0.06):
                scene.flat((line, line + 0.12), 0.012, (-2, FAR), k.ROAD, k.PLAIN, (224, 178, 60), **worn)
            continue
        for z in np.arange(scene.between((-2, 4)), 90.0, 9.0):
            if not (road.junction and z + 3 > road.junction[0] - 5 and z < road.junction[1] + 1):
                scene.flat((x - 0.09, x + 0.09), 0.012, (z, z + 3.6), k.ROAD, k.PLAIN, marking, **worn)
    for edge, strip in ((road.left, road.parking[0]), (road.right, -road.parking[1])):
        if abs(strip) > 1.0:
            for span in road.blocks(FAR):
                scene.flat((edge + strip - 0.07, edge + strip + 0.07), 0.012, span, k.ROAD, k.PLAIN, marking, **worn)
    if road.tram_lane is not None:
        for x in (road.tram_lane - 0.75, road.tram_lane + 0.65):
            scene.flat((x, x + 0.12), 0.014, (-2, FAR), k.ROAD, k.PLAIN, (84, 82, 82))


def _side(scene: Scene, style: Style, road: Road, side: int) -> None:
    palette, index = style.palette, (side + 1) // 2
    edge = abs((road.left, road.right)[index])
    verge, walk = road.verge[index], road.sidewalk[index]
    pavement, kerb, grass = scene.tint(palette.pavement), scene.tint(palette.kerb), scene.tint(palette.grass)
    look = (scene.between((0.5, 1.2)),)

    def strip(x0: float, x1: float, span, label: int, material: int, color) -> None:
        x = (side * x0, side * x1) if side > 0 else (side * x1, side * x0)
        scene.flat(x, KERB, span, label, material, color, look=look)

    for span in road.blocks(FAR):
        long = span[1] - span[0]
        scene.patch((side * edge, 0, span[0]), (0, 0, long), (0, KERB, 0), k.SIDEWALK, k.PLAIN, kerb)
        strip(edge, edge + 0.2, span, k.SIDEWALK, k.PLAIN, kerb)
        if verge:
            strip(edge + 0.2, edge + verge, span, k.TERRAIN, k.GRASS, grass)
        strip(edge + max(verge, 0.2), edge + verge + walk + 3.0, span, k.SIDEWALK, k.PAVING, pavement)
        _frontage(scene, style, side, edge + verge + walk, span)
    _furnish(scene, style, road, side, edge, verge, walk)


def _frontage(scene: Scene, style: Style, side: int, x: float, span: tuple[float, float]) -> None:
    """Fill one block of one side with lots from near to far."""
    weights = np.array(style.layout.lots)
    z, last = span[0], -1
    while z < span[1] - 4.0:
        kind = int(scene.rng.choice(4, p=weights / weights.sum()))
        if kind == last and kind != 0:
            kind = 0
        long = min(scene.between(((9.0, 18.0), (10.0, 16.0), (10.0, 16.0), (12.0, 20.0))[kind]), span[1] - z)
        if kind == 0:
            house(scene, style, side, x + scene.between(style.layout.setback), (z, z + long))
        else:
            (walled, fenced, park)[kind - 1](scene, style, side, x, (z, z + long))
        z, last = z + long, kind


def _furnish(scene: Scene, style: Style, road: Road, side: int, edge: float, verge: float, walk: float) -> None:
    """Stand poles, lights, signs, trees and bins between the road and the pavement."""
    row = edge + max(0.5, verge * 0.5)
    for z in np.arange(scene.between((7.0, 16.0)), FAR, scene.between((17.0, 24.0))):
        if road.free(z):
            lamp_post(scene, style, side * row, z, -side)
    if road.junction:
        for at in (road.junction[0] - 1.0, road.junction[1] + 1.0):
            if scene.chance(0.85):
                traffic_light(scene, style, side * row, at, -side)
    elif scene.chance(0.7):
        traffic_light(scene, style, side * row, scene.between((11.0, 24.0)), -side)
    for near, far in ((7.0, 13.0), (13.0, 22.0), (24.0, 45.0)):
        z = scene.between((near, far))
        if road.free(z) and scene.chance(0.75):
            (board if scene.chance(0.15) else sign)(scene, style, side * row, z)
    for z in np.arange(scene.between((6.0, 14.0)), 90.0, 8.0):
        if road.free(z) and scene.chance(style.layout.trees):
            tree(scene, style, side * (row + scene.between((0.1, 0.5))), z + scene.between((-2.0, 2.0)))
    if verge:
        for _ in range(2):
            bush(scene, style, side * (edge + verge * 0.6), scene.between((10.0, 50.0)))
    if scene.chance(0.5):
        bin_(scene, style, side * (edge + verge + 0.3 * walk), scene.between((8.0, 25.0)))


def _hood(scene: Scene, camera: Camera) -> None:
    """Show the bonnet of the recording car at the lower edge of the image."""
    z, top = 1.7, scene.between((0.035, 0.065))
    # `top` is its height in the image, in image widths; the lower edge of an image lies a quarter below its axis.
    middle = camera.height - z * (math.tan(camera.pitch) + (0.25 - top) / camera.focal)
    scene.patch(
        (-1.1, middle - 0.6, z), (2.2, 0, 0), (0, 0.6, 0), k.EGO, k.PAINT, (52, 54, 58), outline=k.ELLIPSE,
    )  # fmt: skip
