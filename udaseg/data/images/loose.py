"""Images that belong to no dataset: those of a folder, a single one, or the frames of an animation."""

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
class LooseImages:
    """A list of images of any size; all frames of an animation have the same entry in `files`."""

    stems: tuple[str, ...]
    files: tuple[Path, ...]
    other_files: tuple[str, ...] = ()  # names of files in the folder that are not images
    _animation: Image.Image | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.stems)

    def image(self, i: int) -> np.ndarray:
        """Read one image, upright: uint8 RGB [H, W, 3]; raise UdasegError where it cannot be read."""
        if self._animation is not None:
            with _report_damage(self.files[0]):
                self._animation.seek(i)
                return np.array(self._animation.convert("RGB"))
        return read_image(self.files[i])

    def size(self, i: int) -> tuple[int, int]:
        """Read the (height, width) of an image from its header."""
        if self._animation is not None:
            return self._animation.height, self._animation.width
        return image_size(self.files[i])


def open_loose_images(path: Path) -> LooseImages:
    """Open all png and jpg images directly in a directory, a single image, or an animation.

    Raises UdasegError where there is no image, two images have the same stem, or the file is a video.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise UdasegError(f"there is no image or directory {path}", "name a directory of png or jpg images")
    if suffix in IMAGES and suffix not in ANIMATIONS:
        return LooseImages((path.stem,), (path,))
    if suffix in ANIMATIONS:
        return _open_animation(path)
    if suffix in VIDEOS:
        raise UdasegError(f"{path} is a video, and videos are not supported", _ffmpeg_hint(path))
    raise UdasegError(
        f"{path}: expected images, found {suffix or 'no suffix'}", "supported are png, jpg, gif, webp and apng"
    )


def _open_folder(path: Path) -> LooseImages:
    files = list_files(path, IMAGES)
    names = sorted(entry.name for entry in list_directory(path) if entry.is_file() and not entry.name.startswith("."))
    other_files = tuple(name for name in names if Path(name).suffix.lower() not in IMAGES)
    if files:
        return LooseImages(tuple(files), tuple(files.values()), other_files)
    videos = [name for name in other_files if Path(name).suffix.lower() in VIDEOS]
    folders = sorted(
        entry.name for entry in list_directory(path) if entry.is_dir() and list_files(path / entry.name, IMAGES)
    )
    hint = "supported are png and jpg"
    if videos:
        hint = _ffmpeg_hint(path / videos[0])
    elif folders:
        hint = f"name one of its directories with images: {', '.join(folders[:10])}"
    raise UdasegError(f"{path} holds no png or jpg image", hint)


def _open_animation(path: Path) -> LooseImages:
    with _report_damage(path):
        animation = Image.open(io.BytesIO(path.read_bytes()))
        count = getattr(animation, "n_frames", 1)
    return LooseImages(tuple(f"{i:06d}" for i in range(1, count + 1)), (path,) * count, _animation=animation)


def _ffmpeg_hint(video: Path) -> str:
    folder = shlex.quote(f"{video.with_suffix('')}-frames")
    command = f"ffmpeg -i {shlex.quote(str(video))} -q:v 2 {folder}/%06d.jpg"
    return f"extract its frames first: mkdir {folder} && {command}; then name {folder} instead"


@contextlib.contextmanager
def _report_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except Image.UnidentifiedImageError:  # whose own text has the address of an object
        raise UdasegError(f"{path}: its image format is not known", "copy it again, or remove it") from None
    except (OSError, ValueError, LookupError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UdasegError(f"{path}: cannot read it: {error}", "copy it again, or remove it") from None
