"""Read images, label ids and depth maps, and write labels; every error names its file."""

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
from udaseg.data.images.label_pixels import (
    IDS,
    Container,
    decode_pixels,
    describe,
    find_ids,
    has_one_channel,
    is_lossless,
)
from udaseg.data.images.png import SIGNATURE
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.labels import CHANNELS, IGNORE, ClassSpace

# An image larger than Pillow's limit is an error, not a warning.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# Pillow warns of odd metadata, such as EXIF that is cut off: the pixels are read all the same.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

_DAMAGE = (OSError, ValueError, LookupError, SyntaxError, EOFError, struct.error, zlib.error)
_BOMB = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_END = b"IEND\xaeB`\x82"
_ORIENTATION = 0x0112  # EXIF tag: how the camera was held
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TRANSPOSED = (5, 6, 7, 8)  # orientations that swap height and width
_EIGHT_BITS = ("RGB", "L", "P", "RGBA", "LA", "1")
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB: uint8 [H, W, 3].

    Grey, palette and CMYK images are converted, 16 bits are scaled to 8, alpha is dropped, and the EXIF orientation is
    applied, as image viewers and labelling tools do. Raises UdasegError for a missing, damaged or oversized file, for
    an animation, and for values whose range is unknown (32-bit, float).
    """
    with name_file(path, "an image"), Image.open(io.BytesIO(_bytes(path))) as image:
        if image.format in ("WEBP", "GIF") and image.n_frames > 1:
            raise UdasegError(
                f"{path}: expected an image, found an animation of {image.n_frames} frames",
                "save its frames as PNG files, or apply a model to this file alone",
            )
        turn = _UPRIGHT.get(_orientation(image))
        eight_bits = image if image.mode in _EIGHT_BITS else _scale_to_8_bits(path, image)
        upright = eight_bits if turn is None else eight_bits.transpose(turn)
        return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _scale_to_8_bits(path: Path, image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; return an image of another mode as it is."""
    # Pillow scales all grey PGM and PPM files of more than 8 bits to 16 bits in mode I.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return Image.fromarray(np.rint(np.array(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UdasegError(
            f"{path}: expected an RGB image, found Pillow mode {image.mode}",
            "scale it to 8 or 16 bits and save it as PNG, or remove it",
        )
    return image


def image_size(path: Path) -> tuple[int, int]:
    """Read the (height, width) of the image that `read_image` returns, from the file's header alone."""
    with name_file(path, "an image"), path.open("rb") as file, Image.open(file) as image:
        sides = image.height, image.width
        return sides[::-1] if _orientation(image) in _TRANSPOSED else sides


def _orientation(image: Image.Image) -> int:
    # In a PNG without EXIF in its header, getexif would decode the whole image.
    return image.getexif().get(_ORIENTATION, 1) if "exif" in image.info else 1


def read_label_ids(path: Path, coding: str, container: Container = IDS) -> np.ndarray:
    """Read the ids of a label: uint8 [H, W].

    Ids are the indices of a palette image, the values of a grey image or of three equal channels, and in the coding
    "synthia" the red channel of a 16-bit RGB PNG. Other containers have one id for each colour, or the ids in one
    channel: also in that of a palette's colours, where these are grey or that channel alone. Raises UdasegError for a
    missing or damaged file, and for a file that does not fit its container.
    """
    data = _bytes(path)
    depth, colour = _kind(path, data) if data[:8] == SIGNATURE else (None, None)
    with name_file(path, "a label"):
        if (depth, colour) == (16, 2) and coding == "synthia":
            ids = _channel(data)
            if ids.max() > 255:
                raise UdasegError(
                    f"{path}: expected class ids up to 22 in the red channel, found {ids.max()}",
                    "labels of SYNTHIA are in GT/LABELS",
                )
            return ids.astype(np.uint8)
        if colour == png.PALETTE and container.reading in CHANNELS:
            pixels = decode_pixels(path, data, expand=True)
            if has_one_channel(pixels, CHANNELS.index(container.reading)):
                return find_ids(path, pixels, container, coding)
        if depth is None or depth > 8 or colour not in (0, 3) or container.reading == "colours":
            if not is_lossless(data):
                raise UdasegError(
                    f"{path}: expected a PNG file, or TIFF or BMP, found {describe(data)}", "export it again as PNG"
                )
            pixels = decode_pixels(path, data, expand=container.reading == "colours")
            return find_ids(path, pixels, container, coding)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            ids = np.array(image, np.uint8)
        # Pillow spreads grey of 2 and 4 bits over 0 to 255; the division reverses this exactly.
        return ids // {2: 85, 4: 17}[depth] if colour == 0 and depth in (2, 4) else ids


def read_label_pixels(path: Path) -> np.ndarray:
    """Read the pixels of a label to find out its container: uint8 or uint16, [H, W] or [H, W, 3].

    Palette images give their colours. Raises UdasegError for a missing or damaged file, and for other kinds of files.
    """
    data = _bytes(path)
    with name_file(path, "a label"):
        if not is_lossless(data):
            raise UdasegError(f"{path}: expected a PNG file, found {describe(data)}", "export it again as PNG")
        return decode_pixels(path, data, expand=True)


def read_depth(path: Path) -> np.ndarray:
    """Read a depth map: uint16 [H, W] in centimetres, from a 16-bit PNG of one channel or three equal ones.

    Raises UdasegError for a missing or damaged file, and for all other kinds of images.
    """
    data = _bytes(path)
    depth, colour = _kind(path, data)
    with name_file(path, "a depth map"):
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
    """Write train ids, uint8 [H, W], as a palette PNG, atomically; `palette` holds 256 * 3 colour values."""
    with atomic(Path(path), sync=False) as unfinished:
        unfinished.write_bytes(png.encode(labels, palette))


def read_train_ids(path: Path, space: ClassSpace) -> np.ndarray:
    """Read a PNG of train ids, such as a pseudo-label: uint8 [H, W], 255 ignored.

    Raises UdasegError for an id that is not in the class space, and for a missing or damaged file.
    """
    labels = read_label_ids(path, "trainids")
    is_unknown = (labels >= len(space)) & (labels != IGNORE)
    if is_unknown.any():
        unknown = np.unique(labels[is_unknown]).tolist()
        raise UdasegError(
            f"{path}: expected train ids 0 to {len(space) - 1} and {IGNORE}, found {unknown}",
            "write the numbers of the classes in `space`: "
            f"0 is {space.classes[0]}, {len(space) - 1} is {space.classes[-1]}; {IGNORE} is ignored",
        )
    return labels


def png_kind(path: Path) -> tuple[int, int]:
    """Read the bit depth and the colour type (0 grey, 2 RGB, 3 palette) of a PNG from its header alone."""
    with name_file(path, "a PNG file"), path.open("rb") as file:
        return _kind(path, file.read(64))


def label_mode(path: Path) -> str:
    """Read Pillow's mode of a PNG, TIFF or BMP, such as "L", "P" or "RGB", from its header alone."""
    formats = ["PNG", "TIFF", "BMP"]
    with name_file(path, "a label"), path.open("rb") as file, Image.open(file, formats=formats) as image:
        return image.mode


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UdasegError(
            f"{path}: cannot read it: {error.strerror or error}", "correct its permissions, or remove it"
        ) from None
    if not data:
        raise UdasegError(f"{path}: the file is empty (0 bytes)", "copy or unpack it again")
    if data[:8] == SIGNATURE and data.rfind(_END) < 0:  # Pillow accepts such a file if it has all rows
        raise UdasegError(
            f"{path}: expected a whole PNG, found a damaged one without its end", "copy or unpack it again"
        )
    return data


def _kind(path: Path, data: bytes) -> tuple[int, int]:
    if data[:8] != SIGNATURE or len(data) < 29:
        content = f"bytes that begin {data[:8]!r}" if data[:8] != SIGNATURE else f"{len(data)} bytes, a cut-off PNG"
        raise UdasegError(f"{path}: expected a PNG file, found {content}", "save it as PNG, or copy it again")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if width * height > Image.MAX_IMAGE_PIXELS:
        raise UdasegError(
            f"{path}: expected an image, found one of {height}x{width} pixels: a decompression bomb",
            "resize or remove it",
        )
    return depth, colour


def _channel(data: bytes) -> np.ndarray:
    from udaseg.data.images.png16 import decode_channel  # imports numba, which most datasets do not need

    return decode_channel(data, 0)


@contextlib.contextmanager
def name_file(path: Path, expected: str) -> Iterator[None]:
    """Raise UdasegError with the path and what was expected for all that goes wrong inside this block."""
    try:
        yield
    except _BOMB as error:
        raise UdasegError(
            f"{path}: expected {expected}, found a decompression bomb: {error}", "resize or remove it"
        ) from None
    except FileNotFoundError:
        raise UdasegError(f"{path}: expected {expected}, found no such file", "check the path") from None
    except Image.UnidentifiedImageError:  # whose own text has the address of an object
        raise UdasegError(
            f"{path}: expected {expected}, found a file of no known image format", "copy or unpack it again"
        ) from None
    except _DAMAGE as error:
        problem = getattr(error, "strerror", None) or error  # an OSError's own text has its number
        raise UdasegError(
            f"{path}: expected {expected}, found a damaged or unreadable file: {problem}", "copy or unpack it again"
        ) from None
