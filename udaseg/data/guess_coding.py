"""Guess the coding of label files whose meaning nobody has written down, from their ids and colours.

Ids say little: 0 to 18 may be train ids as well as ids of Cityscapes. In street scenes the road is below and the sky is
above, so a coding of ids counts where both are there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from udaseg.data.datasets.container import detect_container, spread
from udaseg.data.images.label_pixels import count_colours, has_equal_channels
from udaseg.data.images.read import read_label_ids, read_label_pixels
from udaseg.errors import UdasegError, join_names
from udaseg.labels import CODINGS, IGNORE, RGB, SPACES, Coding

SAMPLE = 12  # label files that are read
CANDIDATES = ("trainids", "cityscapes", "synthia", "mapillary-v1.2", "mapillary-v2.0")  # the likeliest first
_PLACES = {"road": 1, "sky": 0}  # half of the image in which a class is: 0 above, 1 below
_MOST = 0.7  # share of a class in its half, for the half to speak for the coding
_OWN = 10  # ids from 0 on without a gap, and no more, are numbers that somebody gave to classes of their own
_SMOOTHED = 256  # colours; more are no colours of classes
_CLASS = "class{}"  # a name to be replaced by the user


class Guess(NamedTuple):
    """The likeliest coding, the others that fit, and what speaks for it."""

    coding: str
    others: tuple[str, ...]
    reason: str

    @property
    def text(self) -> str:
        """The reason, and the others."""
        return self.reason + (f"; {join_names(self.others)} would fit as well" if self.others else "")


class _Fit(NamedTuple):
    """How well a coding fits: the signs that speak for it, the share of the pixels that get a class, and its name."""

    signs: int
    share: float
    place: int  # the later of two alike is the less likely one
    reason: str


def guess_coding(files: Mapping[str, Path], folder: Path, classes_file: Path, setting: str) -> Guess:
    """Guess the coding of the labels in a folder, from a sample of them.

    `classes_file` is where a user may write the meaning down, `setting` the one that names a coding. Raises UdasegError
    where no known coding fits, with a classes.yaml to fill in, and where a label cannot be read.
    """
    sample = {str(path): path for path in spread(files, SAMPLE)}
    for path in sample.values():
        read_label_pixels(path)
    fits = {name: fit for name in CANDIDATES if (fit := _fit(sample, CODINGS[name])) is not None}
    if not fits:
        raise _unknown(sample, folder, classes_file, setting)
    order = sorted(fits, key=lambda name: (-fits[name].signs, -round(fits[name].share, 2), fits[name].place))
    return Guess(order[0], tuple(order[1:]), fits[order[0]].reason)


def _fit(sample: Mapping[str, Path], coding: Coding) -> _Fit | None:
    """Tell how well a coding fits a sample of labels; None where it does not."""
    halves = np.zeros((2, 256), np.int64)
    try:
        container = detect_container(sample, coding)
        for path in sample.values():
            ids_HW = read_label_ids(path, coding.name, container)
            middle = len(ids_HW) // 2
            for half, part in enumerate((ids_HW[:middle], ids_HW[middle:])):
                halves[half] += np.bincount(part.reshape(-1), minlength=256)
    except UdasegError:  # ids or colours of another coding
        return None
    counts = halves.sum(0)
    has_colours = container.reading == "colours"
    found = [i for i in np.flatnonzero(counts).tolist() if i != IGNORE]
    if not has_colours and found == [*range(len(found))] and len(found) <= _OWN:
        return None
    classes = [i for i, name in coding.classes.items() if name in SPACES["cs19"].classes]
    if not coding.ids.issuperset(np.flatnonzero(counts).tolist()) or not counts[classes].any():
        return None
    signs, reasons = 0, []
    for name, half in _PLACES.items():
        ids = [i for i, other in coding.classes.items() if other == name]
        total, inside = counts[ids].sum(), halves[half, ids].sum()
        if total and inside < total / 2:
            return None
        if total and inside >= _MOST * total:
            signs += 1
            reasons.append(f"{name} is {'below' if half else 'above'}")
    if signs < len(_PLACES) and not has_colours:
        return None
    share = float(counts[classes].sum() / max(1, counts.sum()))
    reasons = ["its colours alone occur"] * has_colours + reasons
    return _Fit(signs + 2 * has_colours, share, CANDIDATES.index(coding.name), " and ".join(reasons))


def _unknown(sample: Mapping[str, Path], folder: Path, file: Path, setting: str) -> UdasegError:
    """Build the error for labels of an unknown meaning, with a classes.yaml to fill in."""
    colours, values = dict[RGB, int](), np.zeros(0x10000, np.int64)
    for path in sample.values():
        pixels = read_label_pixels(path)
        if pixels.ndim == 3 and not has_equal_channels(pixels):
            for colour, count in zip(*count_colours(pixels), strict=True):
                colours[colour] = colours.get(colour, 0) + int(count)
        else:
            one = pixels if pixels.ndim == 2 else pixels[..., 0]
            values += np.bincount(one.reshape(-1), minlength=len(values))
    if not sample:
        return UdasegError(f"{folder}: expected labels, found none", "add labels as PNG files")
    if len(colours) > _SMOOTHED:
        return UdasegError(
            f"{folder}: expected ids or the colours of classes, found {len(colours):,} colours in {len(sample)} labels",
            "these masks were smoothed or saved with losses, or are photographs: export the labels again as PNG",
        )
    known = f"or name a known coding, one of {', '.join(CANDIDATES)}: add --set {setting}=trainids; "
    known += "tags of CARLA are read from recordings, as folders rgb/ and semantics/"
    if colours:
        order = sorted(colours, key=lambda colour: -colours[colour])
        return UdasegError(
            f"{folder}: the labels are in {len(order)} colours, whose meaning is not known: "
            f"{join_names([str(colour) for colour in order])}",
            f"write the names of the classes into {file}, in the order of the colours:\n{_colour_lines(order)}",
        )
    ids = np.flatnonzero(values)
    shares = [f"{i} ({values[i] / values.sum():.0%})" for i in sorted(ids, key=lambda i: -values[i])]
    return UdasegError(
        f"{folder}: the meaning of the label ids is not known: {join_names(shares, 8)}",
        f"write the names of the classes into {file}:\n{_id_lines(ids.tolist())}\n{known}",
    )


def _colour_lines(colours: list[RGB]) -> str:
    """Return a classes.yaml for colours: those of Cityscapes with their names, the others ignored or to be named."""
    names = {colour: name for name, colour in zip(SPACES["cs19"].classes, SPACES["cs19"].palette, strict=True)}
    named = [colour for colour in colours if colour in names]
    others = [colour for colour in colours if colour not in names]
    if not named:
        named, others = [colour for colour in colours if colour != (0, 0, 0)], []
        names = {colour: _CLASS.format(i) for i, colour in enumerate(named, 1)}
    ignored = ", ".join(map(str, map(list, others or [(0, 0, 0)])))
    return (
        f"names: [{', '.join(names[colour] for colour in named)}]\n"
        f"palette: [{', '.join(str(list(colour)) for colour in named)}]\n"
        f"ignore: [255, {ignored}]"
    )


def _id_lines(ids: list[int]) -> str:
    classes = [i for i in ids if i != IGNORE and i < 256]
    names = ", ".join(f"{i}: {_CLASS.format(i)}" for i in classes[:40])
    return f"names: {{{names}}}\nignore: [255]"
