"""The labelmap.txt of CVAT's "Segmentation mask" and of Pascal VOC exports: a class and its colour in each line."""

from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE, RGB, ClassSpace, Coding, class_space

NAME = "labelmap.txt"
_BORDER = (224, 224, 192)  # the outline of objects in Pascal VOC, of no class
_HINT = "a line of labelmap.txt is name:red,green,blue:parts:actions, as in road:128,64,128::"


def find_labelmap(root: Path, split: str) -> Path | None:
    """Return the labelmap.txt of a split or of the dataset, if there is one."""
    return next((folder / NAME for folder in (root / split, root) if (folder / NAME).is_file()), None)


def read_labelmap(path: Path) -> tuple[ClassSpace, Coding]:
    """Read a labelmap.txt, and return its class space and its coding: the id of a class is the number of its line.

    A class without a colour gets Pascal VOC's colour of its id. Raises UdasegError for a file that breaks the format.
    Source: CVAT, manual of the format "Segmentation mask"; Pascal VOC 2012 development kit, section on colours.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        fields = [line.split(":") for line in lines if line and not line.startswith("#")]
        names = [field[0].strip() for field in fields]
        texts = [field[1].strip() if len(field) > 1 else "" for field in fields]
        palette = tuple(_colour(text) if text else voc_colour(i) for i, text in enumerate(texts))
        space = class_space(names)
    except (OSError, ValueError, UdasegError) as error:
        raise UdasegError(f"{path}: expected a class and its colour in each line, found: {error}", _HINT) from None
    colours = (*((colour, i) for i, colour in enumerate(palette)), (_BORDER, IGNORE))
    coding = Coding(NAME, dict(enumerate(names)), frozenset([*range(len(names)), IGNORE]), colours)
    return ClassSpace(space.name, space.classes, palette), coding


def voc_colour(i: int) -> RGB:
    """Return Pascal VOC's colour of an id: its bits, spread over the high bits of red, green and blue."""
    red = green = blue = 0
    for bit in range(8):
        red |= (i >> 3 * bit & 1) << 7 - bit
        green |= (i >> 3 * bit + 1 & 1) << 7 - bit
        blue |= (i >> 3 * bit + 2 & 1) << 7 - bit
    return red, green, blue


def _colour(text: str) -> RGB:
    levels = [int(level) for level in text.split(",")]
    if len(levels) != 3 or not all(0 <= level <= 255 for level in levels):
        raise ValueError(f"the colour {text!r}")
    return levels[0], levels[1], levels[2]
