"""Read and write the image files: images, label ids, depth, pseudo-labels. Every failure names its file."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.data.images import png
from udaseg.data.images.png import SIGNATURE
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.labels import IGNORE, ClassSpace

# An image that unpacks to more than Pillow thinks sane is refused, not read with a warning.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error)
_BOMB = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_END = b"IEND\xaeB`\x82"
_ORIENTATION = 0x0112  # EXIF: how a camera was held
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)  # of these, height and width change places
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB: uint8 [H, W, 3].

    Grey and palette images are converted, alpha is dropped, and what was taken with a turned camera is turned
    upright, as viewers and labelling tools show it. Raises UdasegError for a missing, damaged or oversized file and
    for modes that are not a photograph (16-bit grey, CMYK, float).
    """
    with _named(path, "an image"), Image.open(io.BytesIO(_bytes(path))) as image:
        if image.mode not in ("RGB", "L", "P", "RGBA", "LA", "1"):
            found = f"{path}: expected an RGB image, found Pillow mode {image.mode}"
            raise UdasegError(found, "convert it to 8-bit RGB, or leave it out")
        turn = _UPRIGHT.get(_orientation(image))
        upright = image if turn is None else image.transpose(turn)
        return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """Read the size of an image as `read_image` gives it, (height, width), from its header alone."""
    with _named(path, "an image"), Image.open(path) as image:
        sides = image.height, image.width
        return sides[::-1] if _orientation(image) in _LYING else sides


def _orientation(image: Image.Image) -> int:
    # A PNG without EXIF in its header would be decoded in search of it.
    return image.getexif().get(_ORIENTATION, 1) if "exif" in image.info else 1


def read_label_ids(path: Path, coding: str) -> np.ndarray:
    """Read the ids of a label PNG as they are on disk: uint8 [H, W].

    Palette PNGs give their indices and grey ones their values; in the coding "synthia" a 16-bit RGB PNG gives its
    red channel. Raises UdasegError for a missing or damaged file and for every other kind of image.
    """
    data = _bytes(path)
    depth, colour = _kind(path, data)
    with _named(path, "a label"):
        if (depth, colour) == (16, 2) and coding == "synthia":
            ids = _channel(data)
            if ids.max() > 255:
                found = f"{path}: expected class ids up to 22 in the red channel, found {ids.max()}"
                raise UdasegError(found, "labels of SYNTHIA are in GT/LABELS")
            return ids.astype(np.uint8)
        if depth > 8 or colour not in (0, 3):
            raise UdasegError(
                f"{path}: expected a label of 8-bit ids, found {depth}-bit {_COLOUR_TYPES.get(colour, colour)}",
                "colour renderings and instance ids are not labels"
                if coding != "synthia"
                else "labels of SYNTHIA are 16-bit RGB (GT/LABELS) or 8-bit ids; GT/COLOR is a rendering",
            )
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            ids = np.array(image, np.uint8)
        # Pillow spreads grey of 2 and 4 bits over 0 to 255; undo it, it is exact.
        return ids // {2: 85, 4: 17}[depth] if colour == 0 and depth in (2, 4) else ids


def read_depth(path: Path) -> np.ndarray:
    """Read a depth map: uint16 [H, W], in centimetres. One channel, or three that say the same.

    Raises UdasegError for a missing or damaged file and for anything but a 16-bit PNG.
    """
    data = _bytes(path)
    depth, colour = _kind(path, data)
    with _named(path, "a depth map"):
        if (depth, colour) == (16, 2):
            return _channel(data)
        if (depth, colour) != (16, 0):
            raise UdasegError(
                f"{path}: expected a 16-bit depth map, found {depth}-bit {_COLOUR_TYPES.get(colour, colour)}",
                "depth is stored in centimetres, as grey or RGB of 16 bits",
            )
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.array(image).astype(np.uint16)


def write_label(path: Path, labels: np.ndarray, palette: list[int]) -> None:
    """Write train ids, uint8 [H, W], as a palette PNG (256 * 3 colour values); the file appears whole or not at all."""
    with atomic(Path(path), sync=False) as unfinished:
        unfinished.write_bytes(png.encode(labels, palette))


def read_train_ids(path: Path, space: ClassSpace) -> np.ndarray:
    """Read a PNG of train ids, such as a pseudo-label: uint8 [H, W], 255 ignored.

    Raises UdasegError for an id that the class space does not have.
    """
    labels = read_label_ids(path, "trainids")
    wrong = (labels >= len(space)) & (labels != IGNORE)
    if wrong.any():
        raise UdasegError(
            f"{path}: expected train ids 0 to {len(space) - 1} and {IGNORE}, found {np.unique(labels[wrong]).tolist()}",
            f"the labels were made for another class space than {space.name} ({len(space)} classes)",
        )
    return labels


def png_kind(path: Path) -> tuple[int, int]:
    """Read the bit depth and the colour type of a PNG (0 grey, 2 RGB, 3 palette) from its header alone."""
    with _named(path, "a PNG file"), Path(path).open("rb") as file:
        return _kind(path, file.read(64))


def _bytes(path: Path) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UdasegError(f"{path}: cannot read it: {error.strerror or error}", "mend it, or leave it out") from None
    if not data:
        raise UdasegError(f"{path}: the file is empty (0 bytes)", "copy or unpack it again")
    if data[:8] == SIGNATURE and data.rfind(_END) < 0:  # Pillow does not miss the end once it has all rows
        raise UdasegError(
            f"{path}: expected a whole PNG, found a damaged one without its end", "copy or unpack it again"
        )
    return data


def _kind(path: Path, data: bytes) -> tuple[int, int]:
    if data[:8] != SIGNATURE or len(data) < 29:
        found = f"bytes that begin {data[:8]!r}" if data[:8] != SIGNATURE else f"{len(data)} bytes, a cut-off PNG"
        raise UdasegError(f"{path}: expected a PNG file, found {found}", "save it as PNG, or copy it again")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if width * height > Image.MAX_IMAGE_PIXELS:
        found = f"{path}: expected an image, found one of {height}x{width} pixels: a decompression bomb"
        raise UdasegError(found, "scale it down, or leave it out")
    return depth, colour


def _channel(data: bytes) -> np.ndarray:
    from udaseg.data.images.png16 import decode_channel  # brings numba, which most datasets never need

    return decode_channel(data, 0)


@contextlib.contextmanager
def _named(path: Path, expected: str) -> Iterator[None]:
    try:
        yield
    except _BOMB as error:
        found = f"{path}: expected {expected}, found a decompression bomb: {error}"
        raise UdasegError(found, "scale it down, or leave it out") from None
    except FileNotFoundError:
        raise UdasegError(f"{path}: expected {expected}, found no such file", "check the path") from None
    except _DAMAGE as error:
        raise UdasegError(
            f"{path}: expected {expected}, found a damaged or unreadable file: {error}", "copy or unpack it again"
        ) from None
