"""Frames of videos, with their times; and videos that are written with the times of another."""

from fractions import Fraction

import numpy as np
import pytest

from udaseg.data.images import video as module
from udaseg.data.images.video import Video, open_writer
from udaseg.errors import UdasegError

av = pytest.importorskip("av")
HEIGHT, WIDTH = 48, 64


def film(path, times, rotation=0, milliseconds=1):
    """Write a video whose frame i is of the grey 10 i + 40, with a white mark on the left above."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(container.default_video_codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(milliseconds, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for i, time in enumerate(times):
            image = np.full((HEIGHT, WIDTH, 3), 10 * i + 40, np.uint8)
            image[:8, :8] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time // milliseconds, Fraction(milliseconds, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def greys(video, indices):
    return [round(float(video.image(i)[20:40, 20:40].mean())) for i in indices]


def seconds(video):
    return [round(float(time * video.time_base), 3) for time in video.times]


@pytest.mark.parametrize(
    ("name", "times", "milliseconds"),
    [
        ("a.mp4", [0, 40, 80, 200, 240], 1),
        ("a.mkv", [0, 40, 80, 120, 160], 1),
        ("a.webm", [0, 33, 67, 100, 133], 1),
        ("a.avi", [0, 40, 80, 120, 160], 40),
    ],
)
def test_frames_come_in_their_order_and_at_their_times(tmp_path, name, times, milliseconds):
    video = Video(film(tmp_path / name, times, milliseconds=milliseconds))
    assert (len(video), video.shape) == (5, (HEIGHT, WIDTH, 3))
    assert seconds(video) == [time / 1000 for time in times]
    assert greys(video, range(5)) == pytest.approx([40, 50, 60, 70, 80], abs=4)  # an AVI is coarse
    assert greys(video, [3, 1, 4, 0]) == pytest.approx([70, 50, 80, 40], abs=4)  # in any order


def test_a_video_that_was_filmed_upright_is_read_upright(tmp_path):
    video = Video(film(tmp_path / "held.mp4", [0, 40], rotation=90))
    assert video.shape == (WIDTH, HEIGHT, 3)
    assert video.image(0)[-8:, :8].mean() > 250  # a quarter turn against the clock


def test_a_written_video_has_the_times_of_the_other_and_the_same_bytes_again(tmp_path):
    video = Video(film(tmp_path / "a.mp4", [0, 40, 200, 240]))
    for name in ("one.mp4", "two.mp4"):
        with open_writer(tmp_path / name, video, 2 * WIDTH + 1) as write:
            for i in range(4):
                write(i, np.full((HEIGHT, 2 * WIDTH + 1, 3), 50 * i + 20, np.uint8))
    written = Video(tmp_path / "one.mp4")
    assert seconds(written) == [0, 0.04, 0.2, 0.24]
    assert written.shape == (HEIGHT, 2 * WIDTH + 2, 3)  # H.264 needs even sides
    assert greys(written, range(4)) == pytest.approx([20, 70, 120, 170], abs=3)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_what_cannot_be_read_is_an_error_with_a_way_out(tmp_path, monkeypatch):
    whole = film(tmp_path / "a.mkv", range(0, 400, 40)).read_bytes()
    for name, content, words in (
        ("empty.mp4", b"", "is truncated, damaged, or no video"),
        ("text.avi", b"no video at all" * 9, "is truncated, damaged, or no video"),
        ("head.mkv", whole[:600], "holds no frames"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UdasegError, match=words) as caught:
            Video(tmp_path / name)
        assert caught.value.hint
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UdasegError, match="PyAV is not installed") as caught:
        Video(tmp_path / "a.mkv")
    assert caught.value.hint == "pip install 'udaseg[video]'"


def test_a_frame_that_is_damaged_is_named_and_the_others_are_read(tmp_path):
    video = Video(film(tmp_path / "a.mp4", range(0, 200, 40)))
    video._decoder = iter([(0, np.zeros((4, 4, 3), np.uint8)), (2, np.ones((4, 4, 3), np.uint8))])
    assert video.image(0).max() == 0
    with pytest.raises(UdasegError, match="frame 2 of 5 cannot be decoded"):
        video.image(1)
    assert video.image(2).max() == 1
