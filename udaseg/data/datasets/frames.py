"""Which frame of which video an image is, by its name."""

import re
from collections.abc import Iterable
from typing import NamedTuple


class FrameNumber(NamedTuple):
    """A video, and the number of a frame in it: the frame before it has the number before."""

    sequence: str
    number: int


def numbered(names: Iterable[str]) -> dict[str, FrameNumber]:
    """Read the sequence and the number of frames called <sequence>_<number>, such as bonn/bonn_000001_000019."""
    parts = ((name, *name.rpartition("_")[::2]) for name in names)
    return {name: FrameNumber(sequence, int(number)) for name, sequence, number in parts if number.isdecimal()}


def in_order(names: Iterable[str]) -> dict[str, FrameNumber]:
    """Number the frames of each folder from 0, in the order of their names; 10 comes after 9.

    Images in no folder are single ones: nothing says that they are a video.
    """
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    folders.pop("", None)
    return {
        name: FrameNumber(folder, number)
        for folder, own in folders.items()
        for number, name in enumerate(sorted(own, key=in_numbers))
    }


def in_numbers(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts the digits in a name as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)] + [(-1, name)]
