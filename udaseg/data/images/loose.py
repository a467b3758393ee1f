"""Images that belong to no dataset: those of a folder, a single one, or the frames of an animation."""

import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.data.datasets.layout import IMAGES, count_folders, list_files
from udaseg.data.datasets.names import choose_stems
from udaseg.data.images.read import image_size, name_file, read_image
from udaseg.errors import UdasegError

ANIMATIONS = (".gif", ".webp", ".apng")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".ts", ".wmv", ".flv", ".y4m")
_SUPPORTED = f"supported are {', '.join(suffix[1:] for suffix in dict.fromkeys((*IMAGES, *ANIMATIONS)))}"


@dataclass
class LooseImages:
    """A list of images of any size; all frames of an animation have the same entry in `files`.

    `folders` counts the images of each sub-folder. `other_files` are paths in the folder that are not images.
    """

    stems: tuple[str, ...]
    files: tuple[Path, ...]
    other_files: tuple[str, ...] = ()
    folders: Mapping[str, int] = field(default_factory=dict)
    _animation: Image.Image | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.stems)

    def image(self, i: int) -> np.ndarray:
        """Read one image, upright: uint8 RGB [H, W, 3]; raise UdasegError where it cannot be read."""
        if self._animation is not None:
            with name_file(self.files[0], "an animation"):
                self._animation.seek(i)
                return np.array(self._animation.convert("RGB"))
        return read_image(self.files[i])

    def size(self, i: int) -> tuple[int, int]:
        """Read the (height, width) of an image from its header."""
        if self._animation is not None:
            return self._animation.height, self._animation.width
        return image_size(self.files[i])


def open_loose_images(path: Path) -> LooseImages:
    """Open all images in a directory and its sub-folders, a single image, or an animation.

    Raises UdasegError where there is no image, two images have the same stem, or the file is a video.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise UdasegError(f"there is no image or directory {path}", "name a directory of images")
    if suffix in ANIMATIONS:
        return _open_animation(path)
    if suffix in IMAGES:
        return LooseImages(tuple(choose_stems({path.stem: path}).values()), (path,))
    if suffix in VIDEOS:
        raise UdasegError(f"{path} is a video, and videos are not supported", _ffmpeg_hint(path))
    raise UdasegError(f"{path}: expected images, found {suffix or 'no suffix'}", _SUPPORTED)


def _open_folder(path: Path) -> LooseImages:
    files = list_files(path, IMAGES, deep=True)
    if files:
        stems = choose_stems(files)
        return LooseImages(
            tuple(stems[name] for name in files), tuple(files.values()), files.left_out, count_folders(files)
        )
    videos = [name for name in files.left_out if Path(name).suffix.lower() in VIDEOS]
    raise UdasegError(f"{path} holds no image", _ffmpeg_hint(path / videos[0]) if videos else _SUPPORTED)


def _open_animation(path: Path) -> LooseImages:
    with name_file(path, "an animation"):
        animation = Image.open(io.BytesIO(path.read_bytes()))
        count = getattr(animation, "n_frames", 1)
    return LooseImages(tuple(f"{i:06d}" for i in range(1, count + 1)), (path,) * count, _animation=animation)


def _ffmpeg_hint(video: Path) -> str:
    folder = shlex.quote(f"{video.with_suffix('')}-frames")
    command = f"ffmpeg -i {shlex.quote(str(video))} -q:v 2 {folder}/%06d.jpg"
    return f"extract its frames first: mkdir {folder} && {command}; then name {folder} instead"
