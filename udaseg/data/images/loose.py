"""Images without a dataset around them: those of a folder, a single one, or the frames of an animation."""

import contextlib
import io
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.data.datasets.layout import IMAGES, list_directory, list_files
from udaseg.data.images.read import image_size, read_image
from udaseg.errors import UdasegError

ANIMATIONS = (".gif", ".webp", ".apng")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".ts", ".wmv", ".flv", ".y4m")


@dataclass
class Shots:
    """Images by stem, upright, as uint8 RGB [H, W, 3] of any size; `files` has one for all frames of an animation."""

    stems: tuple[str, ...]
    files: tuple[Path, ...]
    left_out: tuple[str, ...] = ()  # what else the folder holds
    _animation: Image.Image | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.stems)

    def image(self, i: int) -> np.ndarray:
        """Read one image. Raises UdasegError where it cannot be read."""
        if self._animation is not None:
            with _read(self.files[0]):
                self._animation.seek(i)
                return np.array(self._animation.convert("RGB"))
        return read_image(self.files[i])

    def size(self, i: int) -> tuple[int, int]:
        """Read the (height, width) of an image from its header."""
        if self._animation is not None:
            return self._animation.height, self._animation.width
        return image_size(self.files[i])


def open_shots(place: Path) -> Shots:
    """Open the png and jpg images of a directory (not those of directories in it), one image, or an animation.

    Raises UdasegError where there is nothing to read, two images have one stem, or the file is a video.
    """
    suffix = place.suffix.lower()
    if place.is_dir():
        return _folder(place)
    if not place.is_file():
        raise UdasegError(f"there is no image or directory {place}", "name a directory of png or jpg images")
    if suffix in IMAGES:
        return Shots((place.stem,), (place,))
    if suffix in ANIMATIONS:
        return _animation(place)
    if suffix in VIDEOS:
        raise UdasegError(f"{place} is a video, and nothing that is installed here reads its frames", _frames(place))
    raise UdasegError(f"{place}: expected images, found {suffix or 'no suffix'}", "png, jpg, gif, webp, apng are read")


def _folder(place: Path) -> Shots:
    files = list_files(place, IMAGES)
    others = sorted(entry.name for entry in list_directory(place) if entry.is_file() and not entry.name.startswith("."))
    left_out = tuple(name for name in others if Path(name).suffix.lower() not in IMAGES)
    if files:
        return Shots(tuple(files), tuple(files.values()), left_out)
    videos = [name for name in left_out if Path(name).suffix.lower() in VIDEOS]
    inner = sorted(
        entry.name for entry in list_directory(place) if entry.is_dir() and list_files(place / entry.name, IMAGES)
    )
    hint = "png and jpg are read"
    if videos:
        hint = _frames(place / videos[0])
    elif inner:
        hint = f"name one of its directories with images: {', '.join(inner[:10])}"
    raise UdasegError(f"{place} holds no png or jpg image", hint)


def _animation(place: Path) -> Shots:
    with _read(place):
        animation = Image.open(io.BytesIO(place.read_bytes()))
        count = getattr(animation, "n_frames", 1)
    return Shots(tuple(f"{i:06d}" for i in range(1, count + 1)), (place,) * count, _animation=animation)


def _frames(video: Path) -> str:
    folder = shlex.quote(f"{video.with_suffix('')}-frames")
    taken = f"ffmpeg -i {shlex.quote(str(video))} -q:v 2 {folder}/%06d.jpg"
    return f"make images of it first: mkdir {folder} && {taken}; then name {folder} instead"


@contextlib.contextmanager
def _read(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UdasegError(f"{path}: cannot read it: {error}", "copy it again, or leave it out") from None
