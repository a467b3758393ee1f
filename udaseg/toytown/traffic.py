"""Place vehicles, riders and pedestrians on a street, without collisions."""

import math
from dataclasses import dataclass, field

from .people import bicycle, motorcycle, person, rider
from .scene import Pose, Scene
from .style import Style
from .vehicles import bus, car, tram, truck

# Metres from one frame to the next; a second has 17 frames, as in Cityscapes.
DRIVING, RIDING, WALKING = (0.2, 0.7), (0.12, 0.3), (0.04, 0.1)


@dataclass
class Road:
    """The plan of a street: x of its edges and lanes (the camera's lane is x = 0), z of its junction."""

    left: float
    right: float
    lanes: tuple[float, ...]
    parking: tuple[float, float]  # width of the strips at the left and right edge
    junction: tuple[float, float] | None
    sidewalk: tuple[float, float]
    verge: tuple[float, float]
    tram_lane: float | None
    occupied: list = field(default_factory=list)  # (x, z from, z to) of all placed objects

    def blocks(self, far: float) -> list[tuple[float, float]]:
        """Return the intervals of z between crossing roads."""
        if self.junction is None:
            return [(-4.0, far)]
        return [(-4.0, self.junction[0]), (self.junction[1], far)]

    def free(self, z: float, margin: float = 0.3) -> bool:
        """Return whether z is outside the crossing road."""
        return self.junction is None or not self.junction[0] - margin < z < self.junction[1] + margin

    def claim(self, x: float, z: float, long: float, wide: float = 2.2) -> bool:
        """Reserve a position on the road; return False where it is occupied."""
        z0, z1 = z - long / 2 - 1.0, z + long / 2 + 1.0
        if any(abs(x - other) < wide and z0 < b and a < z1 for other, a, b in self.occupied):
            return False
        self.occupied.append((x, z0, z1))
        return True


def vehicles(scene: Scene, style: Style, road: Road) -> None:
    """Put trams, buses, lorries and cars in the lanes and cars in the parking strips."""
    layout = style.layout
    away = (len(road.lanes) + 1) // 2  # number of lanes in the direction of the camera
    # The vehicles of a lane keep their distance.
    speeds = {x: scene.speed(DRIVING) * (1 if lane < away else -1) for lane, x in enumerate(road.lanes)}
    if road.tram_lane is not None:
        z = scene.between((24.0, 42.0))
        if road.claim(road.tram_lane, z, 25.0):
            with scene.moving(z=speeds[road.tram_lane]):
                tram(scene, style, Pose(road.tram_lane, 0.0, z, math.pi))
    large = [(bus, 12.0), (truck, 8.5)]
    if scene.chance(0.5):
        large.reverse()
    for build, long in large:
        if not scene.chance(0.72):
            continue
        # Try the other lanes, then the kerb, then the camera's own lane further ahead.
        places = [(x, scene.between((13.0, 34.0)), i) for i, x in enumerate(road.lanes) if i > 0]
        scene.rng.shuffle(places)
        if road.parking[1] > 1.0:
            places.insert(int(scene.rng.integers(2)), (road.right - 1.3, scene.between((14.0, 32.0)), 0))
        places.append((0.0, scene.between((20.0, 38.0)), 0))
        for x, z, lane in places:
            if road.claim(x, z, long, 2.6):
                heading = 0.0 if lane < away else math.pi
                with scene.moving(z=speeds.get(x, 0.0)):
                    build(scene, style, Pose(float(x), 0.0, float(z), heading + scene.between((-0.02, 0.02))))
                break
    for _ in range(int(scene.rng.integers(layout.traffic[0], layout.traffic[1] + 1))):
        lane = int(scene.rng.integers(len(road.lanes)))
        z = scene.between((9.0, 55.0)) if lane else scene.between((12.0, 55.0))
        if road.claim(road.lanes[lane], z, 4.8):
            with scene.moving(z=speeds[road.lanes[lane]]):
                car(scene, style, Pose(road.lanes[lane], 0.0, z, 0.0 if lane < away else math.pi))
    for x, wide in ((road.left + 1.15, road.parking[0]), (road.right - 1.15, road.parking[1])):
        z = scene.between((7.0, 11.0))
        while wide > 1.0 and z < 80.0:
            if road.free(z, 7.0) and scene.chance(layout.parked) and road.claim(x, z, 4.6):
                turn = 0.0 if x > 0 or scene.chance(0.2) else math.pi
                car(scene, style, Pose(x, 0.0, z, turn + scene.between((-0.03, 0.03))))
            z += scene.between((5.6, 6.4))
    if road.junction and scene.chance(0.35):
        x, z = scene.between((-14.0, 8.0)), road.junction[0] + 2.2
        if all(road.claim(x + step, z, 2.0) for step in (-2.0, 0.0, 2.0)):
            with scene.moving(x=scene.speed(DRIVING)):
                car(scene, style, Pose(x, 0.0, z, math.pi / 2))


def two_wheelers(scene: Scene, style: Style, road: Road) -> None:
    """Send cyclists and motorcyclists down the road; park machines of both kinds at the kerb."""
    low, high = style.layout.two_wheelers
    for i in range(int(scene.rng.integers(low, high + 1))):
        engine = scene.chance(0.5) if i > 1 else i == 1
        x, z = scene.pick((road.right - 0.9, road.left + 1.0, 1.9, -1.7)), scene.between((7.0, 20.0))
        if road.claim(x, z, 1.6, 1.4):
            pose = _slanted(scene, x, 0.0, z)
            with scene.moving(z=scene.speed(RIDING) * (-1 if x < -2.0 else 1)):
                (motorcycle if engine else bicycle)(scene, style, pose)
                rider(scene, style, pose, engine)
    for build in (bicycle, motorcycle):
        for _ in range(int(scene.rng.integers(0, 3))):
            side = int(scene.rng.integers(2))
            edge = (road.left, road.right)[side]
            x = edge + (1 if side else -1) * (road.verge[side] + scene.between((0.7, 0.9 + 0.6 * road.sidewalk[side])))
            z = scene.between((7.0, 18.0))
            if road.free(z) and road.claim(x, z, 1.0, 1.2):
                build(scene, style, _slanted(scene, x, 0.1, z))


def _slanted(scene: Scene, x: float, y: float, z: float) -> Pose:
    """Turn a two-wheeler, whose plane is (a, b), either way, so that it is never seen edge-on."""
    return Pose(x, y, z, scene.between((-0.95, 0.95)), scene.pick((-1.0, 1.0)))


def pedestrians(scene: Scene, style: Style, road: Road) -> None:
    """Spread people over the pavements, and some over the crossing."""
    low, high = style.layout.people
    for i in range(int(scene.rng.integers(low, high + 1))):
        side = int(scene.rng.integers(2))
        edge, sign = (road.left, road.right)[side], (-1, 1)[side]
        x = edge + sign * (road.verge[side] + scene.between((0.5, road.sidewalk[side] - 0.4)))
        z = scene.between((7.0, 18.0)) if i % 2 else scene.between((10.0, 34.0))
        crosses = bool(road.junction and scene.chance(0.15))
        if crosses:
            x, z = scene.between((road.left, road.right)), road.junction[0] - scene.between((1.6, 4.0))
        if road.claim(x, z, -1.4, 0.5):
            pace = scene.speed(WALKING) * (-1 if i % 2 else 1)
            with scene.moving(x=pace) if crosses else scene.moving(z=pace):
                person(scene, style, x, z)
