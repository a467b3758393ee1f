"""Read the frames of a video with PyAV, with the time of each; write videos with the same times."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from udaseg.errors import UdasegError
from udaseg.io.files import atomic

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".ts", ".wmv", ".flv", ".y4m")
KEPT = 32  # frames that wait for the thread that asked for them: more than threads read ahead
USUAL_RATE = Fraction(25)  # frames a second, of a file that says nothing
# The quality at which differences are hard to see. One thread: the number of threads changes the bytes.
ENCODER = {"crf": "20", "preset": "veryfast", "threads": "1"}


class DamagedFrameError(UdasegError):
    """A frame of a video cannot be decoded."""


class Video:
    """The frames of a video file, upright, as uint8 RGB [H, W, 3], by index; `shape` is that of each.

    `times` are the frames' presentation times in units of `time_base` (seconds), the first 0. `rate` is the mean
    number of frames a second. Frames are decoded one after another, by whichever thread asks first: asking in order
    decodes each once.
    """

    def __init__(self, path: Path):
        """Open a video and list its frames without decoding them.

        Raises UdasegError where PyAV is missing, and for a file that is damaged, or has no frames.
        """
        if find_spec("av") is None:
            raise UdasegError(f"{path} is a video, and PyAV is not installed", "pip install 'udaseg[video]'")
        self.path = path
        self._lock = threading.Lock()
        self._waiting: dict[int, np.ndarray] = {}  # frames that were decoded on the way to another
        with self._open() as (container, stream):
            self.rate = Fraction(stream.average_rate or USUAL_RATE)
            stamps = [packet.pts for packet in container.demux(stream) if packet.size and not packet.is_discard]
            self.time_base = Fraction(stream.time_base)
        if not stamps:
            raise UdasegError(f"{path} holds no frames", "name another video, or copy this one again")
        if None in stamps or len(set(stamps)) < len(stamps):  # a stream without times: its rate says when
            stamps = [round(i / self.rate / self.time_base) for i in range(len(stamps))]
        stamps = sorted(stamps)
        self.times = tuple(stamp - stamps[0] for stamp in stamps)
        self._index = {stamp: i for i, stamp in enumerate(stamps)}
        self._restart()
        _, first = next(self._frames(), (0, None))
        if first is None:
            raise UdasegError(f"{path}: none of its {len(self)} frames can be decoded", "copy the video again")
        self.shape = first.shape

    def __len__(self) -> int:
        return len(self.times)

    def image(self, i: int) -> np.ndarray:
        """Return a frame. Raises DamagedFrameError where the file is damaged there."""
        with self._lock:
            if i < self._next and i not in self._waiting:
                self._restart()
            while i not in self._waiting and self._next <= i:
                decoded = next(self._decoder, None)
                if decoded is None:
                    break
                self._next = decoded[0] + 1
                self._waiting[decoded[0]] = decoded[1]
                for old in [index for index in self._waiting if index < min(i, decoded[0] - KEPT)]:
                    del self._waiting[old]
            if i in self._waiting:
                return self._waiting.pop(i)
        raise DamagedFrameError(
            f"{self.path}: frame {i + 1} of {len(self)} cannot be decoded",
            "copy the video again, or convert it with another program, which leaves such frames out",
        )

    def durations(self) -> list[int]:
        """Return how long each frame is shown, in units of `time_base`."""
        last = max(1, round(1 / self.rate / self.time_base))
        return [after - time for time, after in zip(self.times, (*self.times[1:], self.times[-1] + last), strict=True)]

    def _restart(self) -> None:
        self._decoder, self._next, self._waiting = self._frames(), 0, {}

    def _frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Decode all frames in their order, each with its index; those that are damaged are left out."""
        import av

        before, size = -1, {}
        with self._open() as (container, stream):
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    continue
                for frame in frames:
                    before = self._index.get(frame.pts, before + 1)
                    if frame.is_corrupt or before >= len(self):
                        continue
                    size = size or {"width": frame.width, "height": frame.height}
                    image = frame.to_ndarray(format="rgb24", **size)
                    yield before, np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """Open the file and its video stream."""
        import av

        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise UdasegError(f"{self.path} has no images in it, sound alone", "name another file")
                yield container, container.streams.video[0]
        except (av.error.FFmpegError, OSError) as error:
            raise UdasegError(
                f"{self.path} is truncated, damaged, or no video: {error.strerror or error}",
                "copy it again, or convert it with another program",
            ) from None


@contextmanager
def open_writer(path: Path, video: Video, width: int) -> Iterator[Any]:
    """Write an MP4 (H.264) with the height and the times of a video; yields `write(i, image)` for frame i of it.

    Images are uint8 RGB [H, width, 3]; an odd side gains a row or a column, which H.264 needs. The file appears when
    the block ends well.
    """
    import av

    height, durations = video.shape[0], video.durations()
    odd = (0, height % 2), (0, width % 2), (0, 0)
    # Without "bitexact" the file would name the version of its writer.
    bitexact = {"fflags": "+bitexact"}
    with atomic(path) as temporary, av.open(str(temporary), "w", format="mp4", options=bitexact) as container:
        stream = container.add_stream("libx264", rate=video.rate, options={**ENCODER, "flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt = width + odd[1][1], height + odd[0][1], "yuv420p"
        stream.codec_context.time_base = video.time_base

        def write(i: int, image: np.ndarray) -> None:
            frame = av.VideoFrame.from_ndarray(np.pad(image, odd, mode="edge"), format="rgb24")
            frame.pts, frame.time_base, frame.duration = video.times[i], video.time_base, durations[i]
            container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode())
