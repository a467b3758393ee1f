"""Build cars, trucks, buses and trams out of painted and glazed panels."""

from . import kinds as k
from .scene import Pose, Scene
from .style import Style

TYRE, TAIL, HEAD, PLATE = (24, 24, 26), (190, 24, 20), (240, 236, 214), (220, 220, 214)


def _wheels(scene: Scene, pose: Pose, label: int, half: float, at: tuple, radius: float, instance: int) -> None:
    for c in at:
        for a in (-half - 0.02, half + 0.02):
            corner = pose.point(a, 0.0, c - radius)
            along, up = pose.vector(0, 0, 2 * radius), (0, 2 * radius, 0)
            scene.patch(corner, along, up, label, k.WHEEL, TYRE, outline=k.ELLIPSE, instance=instance)


def _face(scene: Scene, pose: Pose, c: float, a: tuple, b: tuple, label, material, color, **more) -> None:
    corner = pose.point(a[0], b[0], c)
    scene.patch(corner, pose.vector(a[1] - a[0], 0), (0, b[1] - b[0], 0), label, material, color, **more)


def _lamps(scene: Scene, pose: Pose, label: int, half: float, c: tuple, b: float, size: tuple, instance: int) -> None:
    for end, color, gain in ((c[0] - 0.03, TAIL, 0.5), (c[1] + 0.03, HEAD, 0.9)):
        for side in (-1, 1):
            mid = side * (half - 0.55 * size[0])
            a = (mid - size[0] / 2, mid + size[0] / 2)
            more = {"look": (gain,), "instance": instance}
            _face(scene, pose, end, a, (b, b + size[1]), label, k.LAMP, color, **more)


def car(scene: Scene, style: Style, pose: Pose) -> None:
    """Build a car: a hatchback, a saloon or a van, facing along the pose."""
    instance, color = scene.new_instance(), scene.tint(style.palette.car)
    type_ = int(scene.rng.integers(3))
    long, high = ((3.9, 1.5), (4.6, 1.45), (4.7, 1.95))[type_]
    half, belt = 0.9, 0.62 * high if type_ < 2 else 0.52 * high
    back, front = -long / 2, long / 2
    glass = scene.tint(((34, 42, 48), (48, 56, 62)))
    paint = {"instance": instance, "casts": True}
    # The lower body, with a dark sill under it.
    scene.block(pose, (-half, 0.32, back), (half, belt, front), k.CAR, k.PAINT, color, **paint)
    scene.block(pose, (-half + 0.1, 0.12, back + 0.1), (half - 0.1, 0.34, front - 0.1), k.CAR, k.PLAIN, (20, 20, 22),
                instance=instance)  # fmt: skip
    # The cabin: where its foot and its roof begin and end, from the back.
    foot = ((back + 0.05, 0.22 * long), (back + 0.75, 0.2 * long), (back + 0.02, 0.33 * long))[type_]
    roof = ((back + 0.45, 0.02 * long), (back + 1.4, -0.02 * long), (back + 0.15, 0.18 * long))[type_]
    inner, reach = half - 0.06, foot[1] - foot[0]
    form = ((roof[0] - foot[0]) / reach, (foot[1] - roof[1]) / reach)
    for a in (-inner, inner):
        scene.patch(
            pose.point(a, belt, foot[0]), pose.vector(0, 0, reach), (0, high - belt, 0), k.CAR, k.BAND, color,
            accent=glass, outline=k.TRAPEZOID, form=form, look=(0.06, 0.86, 1.1), **paint,
        )  # fmt: skip
    for start, end in ((foot[0], roof[0]), (foot[1], roof[1])):
        corner, up = pose.point(-inner, belt, start), pose.vector(0, high - belt, end - start)
        look = (0.08, 0.86, 2 * inner)
        scene.patch(corner, pose.vector(2 * inner, 0), up, k.CAR, k.BAND, color, accent=glass, look=look, **paint)
    scene.patch(
        pose.point(-inner, high, roof[0]), pose.vector(2 * inner, 0), pose.vector(0, 0, roof[1] - roof[0]),
        k.CAR, k.PAINT, color, **paint,
    )  # fmt: skip
    _lamps(scene, pose, k.CAR, half, (back, front), belt - 0.32, (0.36, 0.2), instance)
    for end in (back - 0.03, front + 0.03):
        _face(scene, pose, end, (-0.28, 0.28), (0.42, 0.56), k.CAR, k.LAMP, PLATE, instance=instance)
        _face(scene, pose, end, (-half, half), (0.3, 0.4), k.CAR, k.PLAIN, (34, 34, 36), instance=instance)
    _wheels(scene, pose, k.CAR, half, (back + 0.75, front - 0.75), 0.34, instance)
    scene.contact(pose, 2.1, long + 0.3)


def truck(scene: Scene, style: Style, pose: Pose) -> None:
    """Build a lorry: a coloured cab before a tall plain box."""
    instance, color = scene.new_instance(), scene.tint(style.palette.truck)
    cargo, band = scene.tint(style.palette.cargo), scene.tint(style.palette.truck)
    half, long, high = 1.25, scene.between((6.5, 8.5)), scene.between((3.3, 3.8))
    back, front = -long / 2, long / 2
    cab = front - 2.0
    more = {"instance": instance, "casts": True}
    scene.block(pose, (-half, 1.05, back), (half, high, cab - 0.25), k.TRUCK, k.PLANKS, cargo, look=(0.45,), **more)
    for a in (-half - 0.02, half + 0.02):
        corner = pose.point(a, 1.75, back + 0.5)
        scene.patch(
            corner, pose.vector(0, 0, cab - back - 1.3), (0, 0.75, 0), k.TRUCK, k.PAINT, band, instance=instance
        )
    # The doors at the back: frame, bars and a warning stripe.
    for a in (-half, -0.05, half - 0.1):
        _face(scene, pose, back - 0.03, (a, a + 0.1), (1.05, high), k.TRUCK, k.PLAIN, (70, 70, 72), instance=instance)
    for i in range(5):
        a = -half + 0.5 * i
        stripe = TAIL if i % 2 else PLATE
        _face(
            scene, pose, back - 0.04, (a, a + 0.5), (0.95, 1.2), k.TRUCK, k.LAMP, stripe, look=(0.1,), instance=instance
        )
    scene.block(
        pose, (-half + 0.25, 0.55, back), (half - 0.25, 1.05, front - 0.3), k.TRUCK, k.PLAIN, (32, 32, 34), **more
    )
    scene.block(pose, (-half + 0.05, 0.5, cab), (half - 0.05, 2.75, front), k.TRUCK, k.PAINT, color, **more)
    glass = (36, 44, 50)
    _face(
        scene, pose, front + 0.03, (-half + 0.18, half - 0.18), (1.6, 2.5), k.TRUCK, k.GLASS, glass, instance=instance
    )
    _face(
        scene,
        pose,
        front + 0.03,
        (-0.8, 0.8),
        (0.75, 1.3),
        k.TRUCK,
        k.PLANKS,
        (46, 46, 48),
        look=(0.2,),
        instance=instance,
    )
    for a in (-half + 0.03, half - 0.03):
        corner = pose.point(a, 1.6, cab + 0.7)
        scene.patch(corner, pose.vector(0, 0, 1.0), (0, 0.85, 0), k.TRUCK, k.GLASS, glass, instance=instance)
    _lamps(scene, pose, k.TRUCK, half, (back, front), 0.65, (0.35, 0.25), instance)
    _wheels(scene, pose, k.TRUCK, half, (back + 1.0, back + 2.1, front - 1.2), 0.52, instance)
    scene.contact(pose, 2.8, long + 0.4)


def bus(scene: Scene, style: Style, pose: Pose) -> None:
    """Build a city bus: one long box of one colour with a window band and a lit destination."""
    instance, color = scene.new_instance(), scene.tint(style.palette.bus)
    half, long, high = 1.27, scene.between((10.0, 12.0)), scene.between((3.0, 3.3))
    back, front = -long / 2, long / 2
    more = {"instance": instance, "casts": True, "accent": (36, 44, 50)}
    look = (0.38, 0.8, 1.6)
    scene.block(pose, (-half, 0.35, back), (half, high, front), k.BUS, k.BAND, color, look=look, **more)
    for c, b in ((front + 0.03, (1.15, 2.55)), (back - 0.03, (1.7, 2.55))):
        _face(scene, pose, c, (-half + 0.1, half - 0.1), b, k.BUS, k.GLASS, (36, 44, 50), instance=instance)
        _face(scene, pose, c, (-0.85, 0.85), (2.62, 2.95), k.BUS, k.PLAIN, (18, 18, 18), instance=instance)
        end = c + (0.02 if c > 0 else -0.02)
        _face(
            scene, pose, end, (-0.7, 0.7), (2.69, 2.88), k.BUS, k.LAMP, (250, 150, 40), look=(1.2,), instance=instance
        )
        _face(scene, pose, end, (-half, half), (0.35, 0.5), k.BUS, k.PLAIN, (30, 30, 32), instance=instance)
    for a in (-half - 0.02, half + 0.02):
        for c in (back + 2.2, 0.6, front - 1.4):
            corner = pose.point(a, 0.45, c)
            scene.patch(corner, pose.vector(0, 0, 1.1), (0, 2.05, 0), k.BUS, k.GLASS, (44, 52, 58), instance=instance)
    _lamps(scene, pose, k.BUS, half, (back, front), 0.7, (0.4, 0.26), instance)
    _wheels(scene, pose, k.BUS, half, (back + 2.0, front - 2.4), 0.5, instance)
    scene.contact(pose, 2.8, long + 0.4)


def tram(scene: Scene, style: Style, pose: Pose) -> None:
    """Build a tram of three cars with a stripe, a rounded nose and a pantograph; it runs on rails."""
    instance, color = scene.new_instance(), scene.tint(style.palette.tram)
    pale = (222, 218, 206)
    half, high, section = 1.2, 3.4, scene.between((6.5, 8.0))
    more = {"instance": instance, "casts": True}
    for i in (-1, 0, 1):
        c = (i * section - section / 2 + 0.3, i * section + section / 2 - 0.3)
        scene.block(pose, (-half, 0.3, c[0]), (half, 1.45, c[1]), k.TRAIN, k.PAINT, color, **more)
        scene.block(
            pose, (-half, 1.45, c[0]), (half, high, c[1]), k.TRAIN, k.BAND, pale,
            accent=(34, 42, 48), look=(0.08, 0.66, 1.2), **more,
        )  # fmt: skip
        if i < 1:
            joint = (-half + 0.15, 0.3, c[1]), (half - 0.15, high - 0.1, c[1] + 0.6)
            scene.block(pose, *joint, k.TRAIN, k.PLANKS, (40, 40, 42), look=(0.15,), instance=instance)
        roof = (-half + 0.4, high, c[0] + 1.0), (half - 0.4, high + 0.35, c[1] - 1.0)
        scene.block(pose, *roof, k.TRAIN, k.PLAIN, (120, 122, 124), instance=instance)
    end = 1.5 * section - 0.3
    for sign in (-1, 1):
        c = sign * end
        # The nose leans back from the bumper to the roof.
        lean = pose.vector(0, high - 1.0, -sign * 0.5)
        corner = pose.point(-half, 1.0, c + sign * 0.6)
        scene.patch(corner, pose.vector(2 * half, 0), lean, k.TRAIN, k.PAINT, color,
                    outline=k.TRAPEZOID, form=(0.08, 0.08), instance=instance)  # fmt: skip
        glass = pose.point(-half + 0.22, 1.5, c + sign * 0.58)
        scene.patch(glass, pose.vector(2 * half - 0.44, 0), pose.vector(0, 1.25, -sign * 0.26), k.TRAIN, k.GLASS,
                    (30, 38, 44), instance=instance)  # fmt: skip
        _face(scene, pose, c + sign * 0.6, (-half, half), (0.35, 1.0), k.TRAIN, k.PAINT, pale, instance=instance)
        _face(scene, pose, c + sign * 0.45, (-0.6, 0.6), (2.95, 3.25), k.TRAIN, k.LAMP, (250, 210, 60), look=(0.9,),
              instance=instance)  # fmt: skip
        _face(
            scene,
            pose,
            c + sign * 0.64,
            (-0.16, 0.16),
            (1.12, 1.4),
            k.TRAIN,
            k.LAMP,
            HEAD,
            look=(1.0,),
            instance=instance,
        )
    arm = {"instance": instance}
    scene.limb(pose, (-0.7, high + 0.3), (0.5, high + 1.0), 0.1, k.TRAIN, k.PLAIN, (50, 50, 52), **arm)
    scene.limb(pose, (0.5, high + 1.0), (-0.4, high + 1.6), 0.1, k.TRAIN, k.PLAIN, (50, 50, 52), **arm)
    scene.limb(pose, (-0.9, high + 1.6), (0.9, high + 1.6), 0.1, k.TRAIN, k.PLAIN, (50, 50, 52), **arm)
    scene.contact(pose, 2.6, 3 * section)
