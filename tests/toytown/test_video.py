"""Videos of toytown: the flow is exact, the last frame is the still, and the bytes depend on the seed alone."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from udaseg.data import open_images, open_labelled
from udaseg.data.video.dataset_flow import list_flow
from udaseg.data.video.flow_file import read_flow
from udaseg.data.video.warp import warp_labels, warp_values
from udaseg.errors import UdasegError
from udaseg.labels import SPACES
from udaseg.toytown.render import frame
from udaseg.toytown.video import video
from udaseg.toytown.world import make_toytown

from .test_world import digests

SIZE = (96, 192)
# Of labels and instances, from before there were videos.
SCENES = "35fc7123fc9c91a401b5654f54a9ee55d6084e6d56d1210b4a1e41e89aebdb72"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("world")
    make_toytown(out, source=1, synthia=0, target_train=3, target_val=1, frames=3, size=SIZE)
    return out


def test_the_last_frame_of_a_video_is_the_still():
    *_, last = video("cityscapes", 3, 1, 2, SIZE)
    still = frame("cityscapes", 3, 1, SIZE)
    for part in ("image", "label", "instance", "depth_cm"):
        np.testing.assert_array_equal(getattr(last.frame, part), getattr(still, part))
    assert last.frame.focal == still.focal


def test_a_frame_does_not_depend_on_the_length_of_its_video():
    short, long = list(video("gta5", 0, 0, 2, SIZE)), list(video("gta5", 0, 0, 4, SIZE))
    for one, other in zip(short, long[2:], strict=True):
        np.testing.assert_array_equal(one.frame.image, other.frame.image)
        np.testing.assert_array_equal(one.frame.label, other.frame.label)
    np.testing.assert_array_equal(short[1].flow, long[3].flow)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("domain", ["cityscapes", "gta5"])
def test_labels_and_colours_follow_the_flow(domain, index):
    before, now = video(domain, 0, index, 2, (256, 512))
    np.testing.assert_array_equal(before.flow, 0)
    assert not before.seen.any()
    assert now.seen.mean() > 0.9
    assert np.abs(now.flow).max() > 4
    warped = warp_labels(before.frame.label, now.flow, now.seen)
    assert (warped == now.frame.label)[now.seen].mean() > 0.99
    assert (before.frame.label != now.frame.label).mean() > 0.04  # the scene does move
    colours = before.frame.image.transpose(2, 0, 1).astype(np.float32)
    warped, inside = warp_values(colours, now.flow)
    seen, image = now.seen & inside, now.frame.image.transpose(2, 0, 1)
    still, moved = (np.abs(one - image)[:, seen].mean() for one in (colours, warped))
    assert moved < 0.75 * still


def test_depth_follows_the_flow_but_for_the_way_of_the_camera():
    before, now = video("cityscapes", 1, 2, 2, SIZE)
    depth = before.frame.depth_cm.astype(np.float32)[None] / 100
    warped, inside = warp_values(depth, now.flow)
    road = now.seen & inside & (now.frame.label == 7)
    closer = warped[0] - now.frame.depth_cm / 100
    assert road.sum() > 100
    assert 0.2 < np.median(closer[road]) < 0.8  # metres from frame to frame


def test_traffic_and_people_move_by_themselves():
    """Flow differs from that of a street on which nothing moves but the camera."""
    own = []
    for index in range(4):
        before, now = video("cityscapes", 0, index, 2, SIZE)
        moves = now.seen & (now.frame.instance > 0)
        depth = now.frame.depth_cm / 100
        warped, inside = warp_values(before.frame.depth_cm.astype(np.float32)[None] / 100, now.flow)
        shift = (warped[0] - depth)[moves & inside]
        own.append(np.ptp(np.percentile(shift, [20, 80])))
    assert max(own) > 0.1


def test_a_video_is_read_as_cityscapes_reads_its_own(world):
    root = world / "cityscapes"
    images = open_images("cityscapes", root, "train-video")
    assert len(images) == 9
    assert [(one.sequence, one.frame) for one in images.records[:3]] == [
        ("aachen/aachen_000000", number) for number in (17, 18, 19)
    ]
    labelled = open_labelled("cityscapes", root, "train-video", SPACES["cs19"])
    assert labelled.has_depth
    flows = list_flow("cityscapes", root, "train-video", {one.stem for one in images.records})
    assert sorted(flows) == [one.stem for one in images.records if one.frame != 17]
    for i in (1, 2):
        stem = images.records[i].stem
        flow, seen = read_flow(flows[stem])
        warped = warp_labels(labelled.label(i - 1), flow, seen)
        assert (warped == labelled.label(i))[seen].mean() > 0.99
        near = labelled.depth(i) < 5000
        assert near.mean() > 0.3
    stills = open_labelled("cityscapes", root, "train", SPACES["cs19"])
    np.testing.assert_array_equal(stills.image(0), labelled.image(2))
    np.testing.assert_array_equal(stills.label(0), labelled.label(2))


def test_the_bytes_depend_on_the_seed_alone_and_videos_change_no_still(world, tmp_path):
    make_toytown(tmp_path / "stills", source=1, synthia=0, target_train=3, target_val=1, size=SIZE)
    stills = digests(tmp_path / "stills")
    assert stills.items() <= digests(world).items()
    assert not any("sequence" in name or "flow" in name for name in stills)
    make_toytown(tmp_path / "stills", source=1, synthia=0, target_train=3, target_val=1, frames=2, size=SIZE)
    (tmp_path / "stills/cityscapes/flow/train/aachen/aachen_000000_000019_flow.png").unlink()
    make_toytown(tmp_path / "stills", source=1, synthia=0, target_train=3, target_val=1, frames=3, size=SIZE, workers=1)
    assert digests(tmp_path / "stills") == digests(world)


def test_stills_show_the_scenes_from_before_there_were_videos():
    """Whoever changes this digest changes every result that was measured on toytown."""
    scenes = hashlib.sha256()
    for domain, split in (("gta5", 0), ("synthia", 0), ("cityscapes", 0), ("cityscapes", 1)):
        for index in range(2):
            one = frame(domain, 3, index, (64, 128), split)
            scenes.update(one.label.tobytes() + one.instance.tobytes())
    assert scenes.hexdigest() == SCENES


@pytest.mark.parametrize("frames", [0, 11])
def test_a_video_has_one_to_ten_frames(tmp_path, frames):
    with pytest.raises(UdasegError, match=f"frames: expected 1 to 10 frames of a video, found {frames}"):
        make_toytown(tmp_path / "out", frames=frames, size=SIZE)
    assert not (tmp_path / "out").exists()
