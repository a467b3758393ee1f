"""Images that belong to no dataset: those of a folder, a single one, or the frames of an animation or a video."""

import io
import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.data.datasets.layout import IMAGES, count_folders, list_files
from udaseg.data.datasets.names import choose_stems
from udaseg.data.images.read import image_size, name_file, read_image
from udaseg.data.images.video import SUFFIXES, Video
from udaseg.errors import UdasegError

ANIMATIONS = (".gif", ".webp", ".apng")
_SUPPORTED = f"supported are {', '.join(suffix[1:] for suffix in dict.fromkeys((*IMAGES, *ANIMATIONS, *SUFFIXES)))}"


@dataclass
class LooseImages:
    """A list of images of any size; all frames of an animation or a video have the same entry in `files`.

    `folders` counts the images of each sub-folder. `other_files` are paths in the folder that are not images.
    """

    stems: tuple[str, ...]
    files: tuple[Path, ...]
    other_files: tuple[str, ...] = ()
    folders: Mapping[str, int] = field(default_factory=dict)
    video: Video | None = None  # whose frames they are
    _animation: Image.Image | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)  # the animation shows one frame at a time

    def __len__(self) -> int:
        return len(self.stems)

    def choose(self, files: Container[Path]) -> "LooseImages":
        """Return the images that are these files."""
        kept = [i for i, file in enumerate(self.files) if file in files]
        return replace(self, stems=tuple(self.stems[i] for i in kept), files=tuple(self.files[i] for i in kept))

    def image(self, i: int) -> np.ndarray:
        """Read one image, upright: uint8 RGB [H, W, 3]; raise UdasegError where it cannot be read."""
        if self.video is not None:
            return self.video.image(i)
        if self._animation is not None:
            with self._lock, name_file(self.files[0], "an animation"):
                self._animation.seek(i)
                return np.array(self._animation.convert("RGB"))
        return read_image(self.files[i])

    def size(self, i: int) -> tuple[int, int]:
        """Read the (height, width) of an image from its header."""
        if self.video is not None:
            return self.video.shape[0], self.video.shape[1]
        if self._animation is not None:
            return self._animation.height, self._animation.width
        return image_size(self.files[i])


def open_loose_images(path: Path) -> LooseImages:
    """Open all images in a directory and its sub-folders, a single image, or the frames of an animation or a video.

    Raises UdasegError where there is no image, two images have the same stem, or a video cannot be read.
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
    if suffix in SUFFIXES:
        video = Video(path)
        return LooseImages(_numbered(len(video)), (path,) * len(video), video=video)
    raise UdasegError(f"{path}: expected images, found {suffix or 'no suffix'}", _SUPPORTED)


def _open_folder(path: Path) -> LooseImages:
    files = list_files(path, IMAGES, deep=True)
    if files:
        stems = choose_stems(files)
        return LooseImages(
            tuple(stems[name] for name in files), tuple(files.values()), files.left_out, count_folders(files)
        )
    videos = [name for name in files.left_out if Path(name).suffix.lower() in SUFFIXES]
    hint = f"its videos are labelled one by one: name {path / videos[0]}" if videos else _SUPPORTED
    raise UdasegError(f"{path} holds no image", hint)


def _open_animation(path: Path) -> LooseImages:
    with name_file(path, "an animation"):
        animation = Image.open(io.BytesIO(path.read_bytes()))
        count = getattr(animation, "n_frames", 1)
    return LooseImages(_numbered(count), (path,) * count, _animation=animation)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"{i:06d}" for i in range(1, count + 1))
