"""Optical flow: files, warping, the check forward and backward, and OpenCV's."""

import sys

import numpy as np
import pytest
from PIL import Image

from udaseg.data.images import png
from udaseg.data.video import estimate
from udaseg.data.video.estimate import estimate_flow, load_opencv
from udaseg.data.video.flow_file import read_flow, write_flow
from udaseg.data.video.warp import agreeing, mirror_flow, resize_flow, warp_labels, warp_values
from udaseg.errors import UdasegError

H, W = 20, 30


def constant(x: float, y: float, size=(H, W)) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float32)[:, None, None], (2, *size)).copy()


def everywhere(size=(H, W)) -> np.ndarray:
    return np.ones(size, bool)


def labels(seed: int = 0, size=(H, W)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 19, size).astype(np.uint8)


def test_no_flow_changes_nothing():
    label = labels()
    np.testing.assert_array_equal(warp_labels(label, constant(0, 0), everywhere()), label)
    values = np.random.default_rng(0).random((3, H, W), np.float32)
    warped, inside = warp_values(values, constant(0, 0))
    np.testing.assert_array_equal(warped, values)
    assert inside.all()
    assert agreeing(constant(0, 0), constant(0, 0)).all()


@pytest.mark.parametrize(("x", "y"), [(3, 0), (-2, 4), (0, -5), (7, 7)])
def test_a_shift_by_whole_pixels_rolls(x, y):
    label, values = labels(), np.random.default_rng(1).random((2, H, W), np.float32)
    # A pixel's flow leads to where its content was: (x, y) further in the other frame.
    rows, columns = np.arange(H) + y, np.arange(W) + x
    inside = ((rows >= 0) & (rows < H))[:, None] & (columns >= 0) & (columns < W)
    warped = warp_labels(label, constant(x, y), everywhere())
    np.testing.assert_array_equal(warped, np.where(inside, np.roll(label, (-y, -x), (0, 1)), 255))
    warped, found = warp_values(values, constant(x, y))
    np.testing.assert_array_equal(found, inside)
    np.testing.assert_allclose(warped, np.where(inside, np.roll(values, (-y, -x), (1, 2)), 0), rtol=1e-6)


def test_values_between_pixels_are_interpolated():
    ramp = np.stack(np.broadcast_arrays(np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32)[:, None]))
    warped, inside = warp_values(ramp, constant(0.25, -0.5))
    np.testing.assert_allclose((warped - ramp)[:, inside].T, np.tile([0.25, -0.5], (inside.sum(), 1)), atol=1e-5)


def test_nothing_comes_from_outside_or_along_flow_that_is_not_valid():
    valid = everywhere()
    valid[3, 4] = False
    flow = constant(0, 0)
    flow[:, 5, 5], flow[0, 6, 6] = np.nan, np.inf
    expected = labels()
    expected[[3, 5, 6], [4, 5, 6]] = 255
    np.testing.assert_array_equal(warp_labels(labels(), flow, valid), expected)


def test_two_flows_agree_within_the_published_bound():
    """|f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5, with b read where f leads."""
    forward = constant(10, 0)
    assert agreeing(forward, constant(-10, 0))[:, : W - 10].all()
    assert not agreeing(forward, constant(-10, 0))[:, W - 10 :].any()  # leads out
    for x, expected in ((-8.52, True), (-8.50, False)):  # (10 + x)^2 against 0.01 (100 + x^2) + 0.5
        assert agreeing(forward, constant(x, 0))[0, 0] == expected
    back = constant(-10, 0)
    back[:, :, 15:] = 0.0  # another thing is there
    np.testing.assert_array_equal(agreeing(forward, back)[0, :20], np.arange(20) < 5)


def test_flow_files_are_those_of_kitti(tmp_path):
    rng = np.random.default_rng(0)
    flow = np.round(rng.uniform(-500, 500, (2, H, W)) * 64).astype(np.float32) / 64
    valid = rng.random((H, W)) < 0.7
    write_flow(tmp_path / "flow.png", flow, valid)
    for one, expected in zip(read_flow(tmp_path / "flow.png"), (flow, valid), strict=True):
        np.testing.assert_array_equal(one, expected)
    cv2 = pytest.importorskip("cv2")
    stored = cv2.imread(str(tmp_path / "flow.png"), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal((stored[..., :2].astype(np.float32) - 2**15) / 64, flow.transpose(1, 2, 0))
    np.testing.assert_array_equal(stored[..., 2], valid)


def test_flow_that_a_file_cannot_hold_is_not_valid(tmp_path):
    flow = constant(0, 0)
    flow[0, 0, :3] = (512, -513, np.nan)
    flow[1, 1, 0] = 511.995
    write_flow(tmp_path / "flow.png", flow, everywhere())
    _, valid = read_flow(tmp_path / "flow.png")
    assert np.argwhere(~valid).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0]]


def test_other_files_are_refused_as_flow(tmp_path):
    with pytest.raises(UdasegError, match=r"expected optical flow, .*found: No such file"):
        read_flow(tmp_path / "flow.png")
    Image.fromarray(labels()).save(tmp_path / "grey.png")
    with pytest.raises(UdasegError, match="bit depth 8") as error:
        read_flow(tmp_path / "grey.png")
    assert error.value.hint.endswith("udaseg flow --method dis")
    half = png.encode(np.zeros((8, 8, 3), np.uint16))[:-20]
    (tmp_path / "half.png").write_bytes(half)
    with pytest.raises(UdasegError, match="truncated"):
        read_flow(tmp_path / "half.png")


def test_flow_is_scaled_with_its_frames():
    np.testing.assert_array_equal(resize_flow(constant(4, 6), (H // 2, 2 * W)), constant(8, 3, (H // 2, 2 * W)))
    label = np.repeat(np.repeat(labels(), 2, 0), 2, 1)
    doubled, valid = resize_flow(constant(3, -2), (2 * H, 2 * W)), everywhere((2 * H, 2 * W))
    small = warp_labels(labels(), constant(3, -2), everywhere())
    np.testing.assert_array_equal(warp_labels(label, doubled, valid)[::2, ::2], small)


def test_mirrored_frames_have_mirrored_flow():
    flow = np.random.default_rng(0).integers(-6, 7, (2, H, W)).astype(np.float32)
    warped = warp_labels(labels(), flow, everywhere())
    mirrored = warp_labels(labels()[:, ::-1], mirror_flow(flow), everywhere())
    np.testing.assert_array_equal(mirrored, warped[:, ::-1])
    assert (warp_labels(labels()[:, ::-1], flow, everywhere()) != warped[:, ::-1]).mean() > 0.5
    np.testing.assert_array_equal(mirror_flow(mirror_flow(flow)), flow)


def test_frames_and_flow_of_two_sizes_are_refused():
    with pytest.raises(UdasegError, match="the frame is 20x30, and the flow 20x31"):
        warp_labels(labels(), constant(0, 0, (20, 31)), everywhere((20, 31)))


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_opencv_finds_a_shift(method):
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (24, 48, 3), np.uint8))
    scene = np.asarray(coarse.resize((384, 192), Image.Resampling.BICUBIC))
    before, now = scene[20:148, 20:276], scene[22:150, 25:281]  # what is at (x, y) was at (x + 5, y + 2)
    flow = estimate_flow(method, now, before)
    assert (flow.shape, flow.dtype) == ((2, 128, 256), np.float32)
    np.testing.assert_allclose(np.median(flow, axis=(1, 2)), (5, 2), atol=0.3)
    back = estimate_flow(method, before, now)
    assert agreeing(flow, back)[8:-8, 8:-8].mean() > 0.9
    np.testing.assert_array_equal(flow, estimate_flow(method, now, before))
    with pytest.raises(UdasegError, match=r"two frames of one size, .* found 128x256 and 127x256"):
        estimate_flow(method, now, before[1:])


def test_without_opencv_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    load_opencv.cache_clear()
    try:
        with pytest.raises(UdasegError, match="needs OpenCV, which is not installed") as error:
            estimate.estimate_flow("dis", np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8))
    finally:
        load_opencv.cache_clear()
    assert error.value.hint.startswith("pip install 'udaseg[video]'")
