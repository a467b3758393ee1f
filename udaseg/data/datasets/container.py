"""Detect how the label files of a dataset carry their ids."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from udaseg.data.images.label_pixels import (
    IDS,
    LONG,
    Container,
    count_colours,
    differing_channels_error,
    has_equal_channels,
)
from udaseg.data.images.read import label_mode, png_kind, read_label_ids, read_label_pixels
from udaseg.errors import UdasegError, join_names
from udaseg.labels import CHANNELS, CODINGS, IGNORE, RGB, Coding

_SAMPLE = 20  # files whose headers are read
_DECODED = 5  # of these, files whose pixels are
_PLAIN = ("1", "L", "LA")  # Pillow's modes of one channel
_COLOURS = "label files: one colour for each class"


def spread(files: Mapping[str, Path], count: int) -> list[Path]:
    """Return up to `count` files, evenly spread over the split."""
    paths = list(files.values())
    return [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))] if paths else []


def detect_container(files: Mapping[str, Path], coding: Coding) -> Container:
    """Detect from a sample of the label files how they carry the ids of a coding.

    Files of one channel are read as they are; headers tell. Colours come first where the coding has all of them. Then
    come three equal channels, then one channel whose values are ids while the others are zero. Palettes count as the
    RGB that they stand for, unless their indices may be the ids. Files that cannot be read count for nothing here.
    Raises UdasegError for RGB files that are none of these.
    """
    if coding.channel is not None:
        return Container(coding.channel, note=f"label files: ids in the {coding.channel} channel")
    modes = {path: _mode(path) for path in spread(files, _SAMPLE)}
    others = [path for path, mode in modes.items() if mode not in (*_PLAIN, None)]
    if coding.name == "synthia":
        others = [path for path in others if png_kind(path) != (16, 2)]
    if not others:
        return IDS
    if all(modes[path].startswith("I;16") for path in others):
        return Container(note="label files: 16-bit grey ids")
    if all(modes[path] in LONG for path in others):
        return Container(note="label files: 32-bit ids")
    return _detect_from_pixels(others[:: max(1, len(others) // _DECODED)][:_DECODED], coding)


def _mode(path: Path) -> str | None:
    with suppress(UdasegError):
        return label_mode(path)
    return None


def _detect_from_pixels(paths: list[Path], coding: Coding) -> Container:
    rgb, colours, values, has_indices, palettes = {}, set(), [], True, {}
    for path in paths:
        with suppress(UdasegError):
            pixels = read_label_pixels(path)
            if pixels.ndim == 2:
                continue
            colours |= set(count_colours(pixels)[0])
            if _mode(path) == "P":
                palettes[path] = pixels
                has_indices = has_indices and _has_colours_at_their_ids(path, pixels, coding)
            else:
                rgb[path] = has_equal_channels(pixels)
                values.append(np.stack([_occurring(pixels[..., channel]) for channel in range(3)]))
    known = {colour for colour, _ in coding.colours}
    if colours and colours <= known and (rgb or not has_indices):
        return _colour_container(coding)
    if not rgb:
        return _palette_container(palettes, coding)
    if all(rgb.values()):
        return Container(note="label files: RGB with the id in all three channels")
    if channel := _only_channel(np.logical_or.reduce(values), coding):
        return Container(channel, note=f"label files: ids in the {channel} channel, the others are zero")
    if not colours.isdisjoint(known):
        return _colour_container(coding)  # reading names the colours of no class
    path = next(path for path, is_equal in rgb.items() if not is_equal)
    raise differing_channels_error(path, read_label_pixels(path), coding.name)


def _colour_container(coding: Coding) -> Container:
    classes: dict[RGB, set[str | None]] = {}
    for colour, i in coding.colours:
        classes.setdefault(colour, set()).add(coding.classes.get(i))
    shared = [f"{colour} of {len(names)} classes" for colour, names in classes.items() if len(names) > 1]
    if shared and coding.name not in CODINGS:
        raise UdasegError(
            f"{coding.name}: expected a colour of its own for each class, found {join_names(shared)}",
            "the labels are in colours; give each class the colour that it has in them",
        )
    return Container("colours", coding.colours, _COLOURS)


def _has_colours_at_their_ids(path: Path, pixels_HW3: np.ndarray, coding: Coding) -> bool:
    """Return whether the indices of a palette label may be the ids: no colour of the coding is at another index."""
    ids = read_label_ids(path, coding.name)
    pairs, known = set(coding.colours), {colour for colour, _ in coding.colours}
    at_ids: dict[int, RGB] = {}
    for i in np.flatnonzero(_occurring(ids)).tolist():
        y, x = divmod(int((ids == i).argmax()), ids.shape[1])
        at_ids[i] = tuple(pixels_HW3[y, x].tolist())
    return not set(at_ids.values()) <= known or all((colour, i) in pairs for i, colour in at_ids.items())


def _palette_container(palettes: dict[Path, np.ndarray], coding: Coding) -> Container:
    """Return the container of palette files: their indices, or one channel of their colours, uint8 [H, W, 3] each.

    Optimisers turn grey ids, and ids in one channel, into palettes in an order of their own.
    """
    channels, is_index = set(), True
    for path, pixels_HW3 in palettes.items():
        occurs = np.stack([_occurring(pixels_HW3[..., channel]) for channel in range(3)])
        occurs[1:, 1:] &= not has_equal_channels(pixels_HW3)  # grey: each channel has the ids
        channel = _only_channel(occurs, coding)
        channels.add(channel)
        if channel:
            is_index &= bool((read_label_ids(path, coding.name) == pixels_HW3[..., CHANNELS.index(channel)]).all())
    if is_index or len(channels) > 1:
        return IDS
    channel = channels.pop()
    return Container(channel, note=f"label files: palettes, ids in the {channel} values of their colours")


def _only_channel(occurs_in: np.ndarray, coding: Coding) -> str | None:
    """Return the only channel that is not all zero, if its values are ids, and not 0 and 255 alone."""
    used = [channel for channel in range(3) if occurs_in[channel, 1:].any()]
    if len(used) != 1:
        return None
    ids = set(np.flatnonzero(occurs_in[used[0]]).tolist())
    return CHANNELS[used[0]] if ids <= coding.ids and ids - {0, IGNORE} else None


def _occurring(values: np.ndarray) -> np.ndarray:
    """Return which of the values 0 to 255 occur; larger ones count as 255: bool [256]."""
    occurs = np.zeros(256, bool)
    occurs[np.minimum(values, 255).ravel()] = True
    return occurs
