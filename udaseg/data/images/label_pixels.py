"""The containers of labels: how a file carries ids where it is not one channel of 8 bits."""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.data.images.png import SIGNATURE
from udaseg.errors import UdasegError, join_names
from udaseg.labels import CHANNELS, OWN_CODINGS, RGB

_TIFF = (b"II*\0", b"MM\0*")
_BMP = b"BM"
_LOSSY = {b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP"}
_MANY = 256  # colours: no palette has as many; a mask with more was smoothed or compressed
_PALETTE_HINT = (
    "write the colours of the classes into classes.yaml, in the order of the names, as in "
    "palette: [[128, 64, 128], [0, 0, 142]]; or name the channel with the ids: channel: red"
)
_SYNTHIA_HINT = "labels of SYNTHIA are 16-bit RGB (GT/LABELS) or 8-bit ids; GT/COLOR is a rendering"
_RENDERING_HINT = "colour renderings and instance ids are not labels"
_SMOOTHED_HINT = "the mask was smoothed or saved with losses; export it again as PNG, or resize it with nearest"


@dataclass(frozen=True)
class Container:
    """How the label files of a dataset carry ids.

    `reading` is "ids" for the values of one channel or of three equal ones, "colours" where each id has a colour, or
    the name of the channel that has the ids. `colours` pairs colours with ids; the first id of a colour counts.
    `note` describes the container to the user, empty for the ordinary one.
    """

    reading: str = "ids"
    colours: tuple[tuple[RGB, int], ...] = ()
    note: str = ""


IDS = Container()
LONG = ("I", "F")  # Pillow's modes of 32 bits: whole numbers, float


def is_lossless(data: bytes) -> bool:
    """Return whether bytes begin like a PNG, TIFF or BMP, which keep every id."""
    return data[:8] == SIGNATURE or data[:4] in _TIFF or data[:2] == _BMP


def describe(data: bytes) -> str:
    """Describe the bytes of a file that is no PNG, TIFF or BMP."""
    name = next((name for start, name in _LOSSY.items() if data.startswith(start)), None)
    return f"a {name}, which changes ids" if name else f"bytes that begin {data[:8]!r}"


def decode_pixels(path: Path, data: bytes, *, expand: bool = False) -> np.ndarray:
    """Decode the bytes of a PNG, TIFF or BMP: uint8 or uint16, [H, W] of one channel or [H, W, 3]; alpha is dropped.

    Palette images give their indices, or their colours with `expand`. Values of 32 bits, whole or float, become 16 bits
    where none changes. Raises UdasegError where one would, ValueError for 16 bits with alpha, CMYK and other modes.
    """
    if data[:8] == SIGNATURE and data[24] == 16 and data[25] != 0:
        if data[25] != 2:
            raise ValueError("16 bits with alpha")
        from udaseg.data.images.png16 import decode_channel  # imports numba, which most datasets do not need

        return np.stack([decode_channel(data, channel) for channel in range(3)], axis=-1)
    with Image.open(io.BytesIO(data), formats=["PNG", "TIFF", "BMP"]) as image:
        mode = image.mode
        if mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", *LONG) and not mode.startswith("I;16"):
            raise ValueError(f"pixels of Pillow mode {mode}")
        values = np.array(image.convert("RGB") if expand and mode in ("P", "PA") else image)
    if mode in LONG:
        _require_ids(path, values)
    if values.ndim == 3:
        values = values[..., 0] if values.shape[2] == 2 else values[..., :3]
    return values.astype(np.uint16 if values.dtype.itemsize > 1 else np.uint8)


def _require_ids(path: Path, values: np.ndarray) -> None:
    is_id = (values >= 0) & (values <= 0xFFFF) & (values == np.floor(values))  # NaN is none
    if not is_id.all():
        raise UdasegError(
            f"{path}: expected a label of whole ids, found {values[~is_id][0]:g} in 32 bits",
            "give pixels without data the id 255, and save the label again with 8 bits",
        )


def find_ids(path: Path, values: np.ndarray, container: Container, coding: str) -> np.ndarray:
    """Find the ids in the pixels of a label, uint8 or uint16 [H, W] or [H, W, 3]: uint8 [H, W].

    Raises UdasegError for colours that no class has, channels that differ, and ids above 255.
    """
    if container.reading == "colours":
        return _ids_of_colours(path, values, container, coding)
    if values.ndim == 3 and container.reading in CHANNELS:
        values = values[..., CHANNELS.index(container.reading)]
    if values.ndim == 3:
        if not has_equal_channels(values):
            raise differing_channels_error(path, values, coding)
        values = values[..., 0]
    if values.dtype != np.uint8 and values.max() > 255:
        raise UdasegError(
            f"{path}: expected a label of 8-bit ids, found {values.max()} in 16 bits",
            "instance ids and depth are not labels",
        )
    return np.ascontiguousarray(values, np.uint8)


def differing_channels_error(path: Path, values_HW3: np.ndarray, coding: str) -> UdasegError:
    """Build the error for a label in colours, where the coding has no colours."""
    colours, _ = count_colours(values_HW3)
    return UdasegError(
        f"{path}: expected a label of 8-bit ids, found {8 * values_HW3.itemsize}-bit RGB of {len(colours)} colours",
        {"classes.yaml": _PALETTE_HINT, "synthia": _SYNTHIA_HINT}.get(coding, _RENDERING_HINT),
    )


def has_equal_channels(values_HW3: np.ndarray) -> bool:
    """Return whether the three channels have the same values."""
    return bool((values_HW3[..., :1] == values_HW3[..., 1:]).all())


def has_one_channel(values_HW3: np.ndarray, channel: int) -> bool:
    """Return whether a channel says all: the others are zero, or have the same values."""
    return not np.delete(values_HW3, channel, axis=-1).any() or has_equal_channels(values_HW3)


def count_colours(values_HW3: np.ndarray) -> tuple[list[RGB], np.ndarray]:
    """Return the colours of an image, the most frequent first, and the pixels of each: int64 [colours]."""
    codes, pixels = np.unique(_pack(values_HW3), return_counts=True)
    order = np.argsort(-pixels, kind="stable")
    return [(int(code >> 32), int(code >> 16 & 0xFFFF), int(code & 0xFFFF)) for code in codes[order]], pixels[order]


def _ids_of_colours(path: Path, values: np.ndarray, container: Container, coding: str) -> np.ndarray:
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=-1)
    entries = np.zeros(values.shape[:2], np.uint16)
    if values.max() <= 255:
        red, green, blue = (values[..., channel].astype(np.int32) for channel in range(3))
        entries = _id_table(container.colours)[red << 16 | green << 8 | blue]
    if not entries.all():
        found, pixels = count_colours(values)
        known = {colour for colour, _ in container.colours}
        unknown = [colour for colour in found if colour not in known]
        share = pixels[[colour not in known for colour in found]].sum() / pixels.sum()
        raise UdasegError(
            f"{path}: expected the colours of classes alone, found {len(unknown)} of {len(found)} colours that no "
            f"class has, on {share:.2%} of the pixels: {join_names([str(colour) for colour in unknown])}",
            _unknown_colours_hint(unknown, coding),
        )
    return (entries - 1).astype(np.uint8)


def _unknown_colours_hint(unknown: list[RGB], coding: str) -> str:
    if len(unknown) > _MANY or coding not in OWN_CODINGS:
        return _SMOOTHED_HINT
    if coding == "labelmap.txt":
        return f"give each a line in labelmap.txt, as in void:{','.join(map(str, unknown[0]))}::"
    colours = ", ".join(str(list(colour)) for colour in unknown[:10])
    return f"give each a class in `palette` of classes.yaml, or ignore them there: ignore: [255, {colours}]"


def _pack(values_HW3: np.ndarray) -> np.ndarray:
    red, green, blue = (values_HW3[..., channel].astype(np.int64) for channel in range(3))
    return red << 32 | green << 16 | blue


@lru_cache(maxsize=8)
def _id_table(colours: tuple[tuple[RGB, int], ...]) -> np.ndarray:
    """Build the table from a colour's 24 bits to its id plus 1, 0 for others: uint16 [2^24].

    Most of its pages are never touched, and take no memory.
    """
    table = np.zeros(1 << 24, np.uint16)
    for (red, green, blue), i in reversed(colours):  # the first id of a colour is written last
        table[red << 16 | green << 8 | blue] = i + 1
    return table
