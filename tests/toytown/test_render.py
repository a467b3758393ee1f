"""What a frame of toytown holds, and the kernels against plain NumPy."""

import numpy as np
import pytest

from udaseg.toytown import kinds as k
from udaseg.toytown.domains import STYLES
from udaseg.toytown.noise import fractal, value_noise
from udaseg.toytown.raster import cast, planes, rasterise, row_bounds
from udaseg.toytown.render import SKY_CM, frame
from udaseg.toytown.scene import Camera, Scene
from udaseg.toytown.sensor import blur
from udaseg.toytown.street import lay_out

SIZE = (64, 128)


@pytest.fixture(scope="module", params=sorted(STYLES))
def frames(request):
    return [frame(request.param, 3, i, SIZE) for i in range(16)]


def test_frames_have_the_promised_types(frames):
    for f in frames:
        assert (f.image.shape, f.image.dtype) == ((*SIZE, 3), np.uint8)
        assert (f.label.shape, f.label.dtype) == (SIZE, np.uint8)
        assert (f.instance.shape, f.instance.dtype) == (SIZE, np.uint16)
        assert (f.depth_cm.shape, f.depth_cm.dtype) == (SIZE, np.uint16)


def test_every_class_is_common(frames):
    seen = {c: sum((f.label == c).sum() >= 4 for f in frames) for c in k.CLASSES}
    assert min(seen.values()) >= 4, seen
    assert set(np.unique([f.label for f in frames])) <= {*k.CLASSES, k.EGO, k.STATIC}


def test_instances_are_of_one_class_and_only_of_people_and_vehicles(frames):
    things = {k.PERSON, k.RIDER, k.CAR, k.TRUCK, k.BUS, k.TRAIN, k.MOTORCYCLE, k.BICYCLE}
    for f in frames:
        np.testing.assert_array_equal(f.instance > 0, np.isin(f.label, list(things)))
        for instance in np.unique(f.instance[f.instance > 0]):
            assert len(np.unique(f.label[f.instance == instance])) == 1


def test_depth_is_that_of_a_street(frames):
    for f in frames:
        np.testing.assert_array_equal(f.depth_cm == SKY_CM, f.label == k.SKY)
        assert f.depth_cm.min() > 0
        for column in range(0, SIZE[1], 8):
            road = f.depth_cm[f.label[:, column] == k.ROAD, column].astype(int)
            # The paint lies a centimetre above the asphalt, hence the tolerance.
            assert (np.diff(road) <= 0.02 * road[:-1]).all()


def test_sky_is_above_road_and_images_are_exposed(frames):
    for f in frames:
        rows = [np.nonzero(f.label == c)[0].mean() for c in (k.SKY, k.ROAD)]
        assert rows[0] < rows[1]
        assert 40 < f.image.mean() < 200
        assert f.image.std() > 15


def test_a_frame_is_the_same_every_time_and_frames_differ():
    one, same, other = (frame("gta5", 7, i, SIZE) for i in (4, 4, 5))
    for part in ("image", "label", "instance", "depth_cm"):
        np.testing.assert_array_equal(getattr(one, part), getattr(same, part))
    assert (one.label != other.label).any()
    assert (frame("cityscapes", 7, 4, SIZE).label != frame("cityscapes", 7, 4, SIZE, split=1).label).any()


def test_a_frame_shows_the_same_street_at_every_size():
    small, large = frame("synthia", 0, 2, (64, 128)), frame("synthia", 0, 2, (128, 256))
    assert (small.label == large.label[::2, ::2]).mean() > 0.9


def test_domains_differ_in_colour():
    def look(domain):
        pixels = np.concatenate([frame(domain, 0, i, SIZE).image.reshape(-1, 3) for i in range(6)]).astype(float)
        return pixels.std(), (pixels.max(1) - pixels.min(1)).mean()

    (game_contrast, game_colour), (real_contrast, real_colour) = look("gta5"), look("cityscapes")
    assert game_contrast > 1.1 * real_contrast
    assert game_colour > 1.5 * real_colour


def test_rasterise_equals_intersecting_every_ray_with_every_patch():
    scene, camera = lay_out(STYLES["synthia"], np.random.default_rng(1))
    patches, (height, width) = scene.freeze(), SIZE
    forms, rows = planes(patches, camera, SIZE), row_bounds(patches, camera, SIZE)
    buffers = [np.full(SIZE, -1, np.int32), np.zeros(SIZE), np.full(SIZE, -1, np.int32), np.zeros(SIZE)]
    kind = patches.kind.copy()
    kind[:, 0] = k.RECT
    rasterise(forms, rows, kind, patches.form, *buffers)
    focal = camera.focal * width
    nearest = np.full(SIZE, np.inf)
    col, row = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack([(col + 0.5 - width / 2) / focal, -(row + 0.5 - height / 2) / focal, np.ones(SIZE)], -1)
    rays = rays @ camera.rotation()
    for corner, u, v in zip(patches.corner, patches.u, patches.v, strict=True):
        matrix = np.array([u, v, [0, 0, 0]]).T
        with np.errstate(all="ignore"):
            normal = np.cross(u, v)
            depth = normal @ (corner - (0, camera.height, 0)) / (rays @ normal)
            point = rays * depth[..., None] + (0, camera.height, 0) - corner
            s, t = np.moveaxis(point @ np.linalg.pinv(matrix[:, :2]).T, -1, 0)
            hit = (depth > 0.4) & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
        nearest = np.where(hit & (depth < nearest), depth, nearest)
    with np.errstate(divide="ignore"):
        found = 1.0 / buffers[1]
    # Pixels on an edge may fall to either side.
    assert np.isclose(found, nearest, rtol=1e-6).mean() > 0.999


def test_shadows_fall_where_the_sun_sends_them():
    grid = np.zeros((40, 40), np.float32)
    corner, u, v = np.array([[2.0, 0.0, 5.0]]), np.array([[2.0, 0.0, 0.0]]), np.array([[0.0, 3.0, 0.0]])
    cast(grid, 0.25, 0.0, corner, u, v, np.zeros((1, 4), np.int64), np.zeros((1, 4)), 0.0, 1.0)
    expected = np.zeros_like(grid)
    expected[20:32, 8:16] = 1.0  # 2 m wide, from the foot at z = 5 to the shadow of the top at z = 8
    np.testing.assert_array_equal(grid, expected)


def _noise(x, y, seed):
    def lattice(ix, iy):
        h = (ix * 374761393 + iy * 668265263 + seed * 1442695041) & 0xFFFFFFFF
        h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
        return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0

    ix, iy = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = ((a - np.floor(a)) ** 2 * (3 - 2 * (a - np.floor(a))) for a in (x, y))
    return (lattice(ix, iy) * (1 - fx) + lattice(ix + 1, iy) * fx) * (1 - fy) + (
        lattice(ix, iy + 1) * (1 - fx) + lattice(ix + 1, iy + 1) * fx
    ) * fy


def test_noise_equals_its_twin():
    points = np.random.default_rng(0).uniform(-300, 300, (200, 2))
    single = [value_noise(x, y, 12345) for x, y in points]
    np.testing.assert_allclose(single, _noise(points[:, 0], points[:, 1], 12345), rtol=0, atol=1e-12)
    second = _noise(2.03 * points[:, 0] + 17.1, 2.03 * points[:, 1] + 5.3, 12346)
    double = [fractal(x, y, 12345, 2) for x, y in points]
    np.testing.assert_allclose(double, (np.array(single) + 0.5 * second) / 1.5, rtol=0, atol=1e-12)
    assert 0.0 <= min(single) < 0.1
    assert 0.9 < max(single) < 1.0


def test_blur_keeps_flat_images_and_spreads_points():
    flat = np.full((6, 8, 3), 0.3, np.float32)
    np.testing.assert_allclose(blur(flat, 1.0), flat, rtol=1e-5)
    point = np.zeros((21, 21, 1), np.float32)
    point[10, 10] = 1.0
    spread = blur(point, 1.5)[:, :, 0]
    rows = np.arange(21) - 10
    assert spread.sum() == pytest.approx(1.0, abs=1e-5)
    assert (spread.sum(1) * rows**2).sum() == pytest.approx(1.5**2, rel=0.08)


def test_a_scene_hands_out_instances_from_one():
    scene = Scene(np.random.default_rng(0))
    assert [scene.new_instance() for _ in range(3)] == [1, 2, 3]


def test_the_camera_rotation_is_a_rotation():
    rotation = Camera(height=1.5, pitch=0.1, yaw=-0.3, roll=0.05, focal=0.9).rotation()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert rotation[2, 1] < 0  # a positive pitch looks down
