"""Draw people on foot and on two wheels, and the machines they ride, as flat figures made of limbs."""

from . import kinds as k
from .scene import Pose, Scene
from .style import Style


def person(scene: Scene, style: Style, x: float, z: float) -> None:
    """Stand a pedestrian on the pavement, walking or waiting."""
    palette, instance = style.palette, scene.new_instance()
    size = scene.between((0.92, 1.08)) * (0.68 if scene.chance(0.1) else 1.0)
    pose = Pose(x, 0.08, z, scene.between((-0.5, 0.5)))
    skin, hair = scene.tint(palette.skin), scene.tint(palette.hair)
    top, trousers = scene.tint(palette.top, 0.2), scene.tint(palette.trousers, 0.2)

    def limb(start, end, width, color, depth, **more):
        start, end = (start[0] * size, start[1] * size), (end[0] * size, end[1] * size)
        scene.limb(pose, start, end, width * size, k.PERSON, k.CLOTH, color, instance=instance, depth=depth, **more)

    stride = scene.between((0.02, 0.3))
    coat = scene.between((0.7, 0.85))
    for side in (-1, 1):
        foot = (side * (0.07 + stride), 0.06)
        limb((side * 0.1, 0.86), foot, 0.19, trousers, 0.03 * side, casts=True)
        limb(foot, (foot[0] + 0.12, 0.05), 0.1, (40, 34, 30), 0.03 * side)
        swing = side * (0.3 + 0.4 * stride)
        limb((side * 0.24, 1.4), (swing, 0.86), 0.14, top, 0.05 * side)
        limb((swing, 0.84), (swing, 0.78), 0.1, skin, 0.05 * side)
    limb((0, coat), (0, 1.34), 0.46, top, -0.06, casts=True)
    limb((0, 1.44), (0, 1.56), 0.12, skin, -0.05)
    head = {"instance": instance, "curve": k.SPHERE}
    scene.disc(pose, (0, 1.66 * size), (0.25 * size, 0.31 * size), k.PERSON, k.CLOTH, skin, depth=-0.07, **head)
    scene.disc(pose, (0, 1.775 * size), (0.25 * size, 0.13 * size), k.PERSON, k.CLOTH, hair, depth=-0.08, **head)
    if scene.chance(0.35):
        bag = scene.tint(palette.top)
        scene.disc(pose, (0.3 * size, 0.85 * size), (0.26, 0.34), k.PERSON, k.CLOTH, bag, depth=-0.1, instance=instance)
    scene.contact(pose, 0.7, 0.6)


def bicycle(scene: Scene, style: Style, pose: Pose) -> None:
    """Put a bicycle in the vertical plane of a pose (its front toward +a)."""
    instance, color = scene.new_instance(), scene.tint(style.palette.cycle)
    more = {"instance": instance}

    def bar(start, end, width, paint, depth=0.0):
        scene.limb(pose, start, end, width, k.BICYCLE, k.PAINT, paint, depth=depth, **more)

    for a in (-0.54, 0.54):
        wheel = {"outline": k.RING, "form": (0.78,), "casts": True, **more}
        scene.disc(pose, (a, 0.36), (0.74, 0.74), k.BICYCLE, k.PLAIN, (26, 26, 28), **wheel)
        scene.disc(pose, (a, 0.36), (0.14, 0.14), k.BICYCLE, k.PLAIN, (120, 122, 124), depth=-0.01, **more)
    crank, seat = (-0.08, 0.34), (-0.22, 0.86)
    bar((-0.54, 0.36), crank, 0.06, color)
    bar((-0.54, 0.36), (-0.19, 0.76), 0.05, color)
    bar(crank, seat, 0.07, color, -0.02)
    bar((-0.19, 0.76), (0.36, 0.8), 0.07, color, -0.02)
    bar(crank, (0.37, 0.74), 0.08, color, -0.02)
    bar((0.54, 0.36), (0.34, 1.02), 0.06, color)
    bar((0.34, 1.02), (0.48, 1.08), 0.06, (30, 30, 30), -0.03)
    bar((-0.34, 0.92), (-0.12, 0.92), 0.1, (28, 26, 26), -0.03)
    bar((-0.84, 0.66), (-0.3, 0.72), 0.05, (34, 34, 36))
    scene.disc(pose, crank, (0.2, 0.2), k.BICYCLE, k.PLAIN, (80, 80, 82), depth=-0.03, **more)
    scene.contact(pose, 1.8, 0.4)


def motorcycle(scene: Scene, style: Style, pose: Pose) -> None:
    """Put a motorcycle in the vertical plane of a pose (its front toward +a)."""
    instance, color = scene.new_instance(), scene.tint(style.palette.car)
    more = {"instance": instance}

    def part(center, size, paint, depth, material=k.PAINT, **extra):
        scene.disc(pose, center, size, k.MOTORCYCLE, material, paint, depth=depth, **{**more, **extra})

    def bar(start, end, width, paint, depth=0.0):
        scene.limb(pose, start, end, width, k.MOTORCYCLE, k.PAINT, paint, depth=depth, **more)

    for a in (-0.72, 0.76):
        part((a, 0.34), (0.7, 0.7), (22, 22, 24), 0.05, k.WHEEL, casts=True)
        part((a, 0.56), (0.62, 0.24), color, 0.0)
    part((0.0, 0.46), (0.8, 0.52), (70, 70, 74), 0.03, curve=k.SPHERE, casts=True)
    part((-0.02, 0.36), (0.5, 0.36), (130, 130, 134), 0.01, curve=k.SPHERE)
    part((0.16, 0.86), (0.72, 0.36), color, -0.02, curve=k.SPHERE, casts=True)
    bar((-0.78, 0.86), (-0.14, 0.82), 0.2, (26, 24, 26), -0.01)
    bar((-0.9, 0.72), (-0.3, 0.66), 0.2, color)
    bar((0.76, 0.34), (0.46, 1.02), 0.1, (110, 112, 116))
    part((0.58, 0.92), (0.34, 0.42), color, -0.03)
    part((0.7, 0.92), (0.16, 0.2), (230, 226, 200), -0.05)
    bar((0.42, 1.08), (0.3, 1.16), 0.07, (30, 30, 32), -0.06)
    bar((-0.95, 0.3), (-0.1, 0.26), 0.13, (150, 150, 154), -0.04)
    scene.contact(pose, 2.2, 0.8)


def rider(scene: Scene, style: Style, pose: Pose, engine: bool) -> None:
    """Seat a rider on a bicycle or a motorcycle of the same pose."""
    palette, instance = style.palette, scene.new_instance()
    skin, top = scene.tint(palette.skin), scene.tint(palette.top, 0.2)
    trousers = scene.tint(palette.trousers, 0.2)
    helmet = scene.tint(palette.car, 0.2) if engine or scene.chance(0.6) else scene.tint(palette.hair)

    def limb(start, end, width, color, depth, **more):
        scene.limb(pose, start, end, width, k.RIDER, k.CLOTH, color, instance=instance, depth=depth, **more)

    if engine:
        hip, knee, foot, neck, hand = (-0.3, 0.92), (0.12, 0.8), (-0.05, 0.34), (-0.02, 1.5), (0.36, 1.12)
    else:
        pedal = scene.between((0.14, 0.42))
        hip, knee, foot, neck, hand = (
            (-0.22, 1.0),
            (0.14, 0.66 + 0.3 * pedal),
            (-0.02, pedal),
            (0.12, 1.52),
            (0.42, 1.1),
        )
    for depth, shade in ((0.12, 0.7), (-0.08, 1.0)):
        tone = tuple(shade * c for c in trousers)
        limb(hip, knee, 0.2, tone, depth)
        limb(knee, foot, 0.16, tone, depth)
        limb(foot, (foot[0] + 0.14, foot[1] - 0.02), 0.1, (36, 32, 30), depth)
    limb(hip, neck, 0.38, top, -0.1, casts=True)
    elbow = (0.5 * (neck[0] + hand[0]) + 0.02, 0.5 * (neck[1] + hand[1]) - 0.12)
    limb((neck[0], neck[1] - 0.06), elbow, 0.14, top, -0.14)
    limb(elbow, hand, 0.12, top, -0.14)
    head = (neck[0] + 0.07, neck[1] + 0.24)
    round_ = {"instance": instance, "curve": k.SPHERE}
    scene.disc(pose, head, (0.26, 0.3), k.RIDER, k.CLOTH, skin, depth=-0.12, **round_)
    size, lift = ((0.32, 0.34), 0.03) if engine else ((0.31, 0.2), 0.09)
    scene.disc(pose, (head[0], head[1] + lift), size, k.RIDER, k.PAINT, helmet, depth=-0.13, **round_)
