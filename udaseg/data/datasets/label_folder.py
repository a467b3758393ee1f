"""A folder of label files of another tool, such as pseudo-labels or predictions, matched with images."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from udaseg.data.datasets.label_names import count_suffixes, suffix_hint
from udaseg.data.datasets.layout import list_files
from udaseg.data.datasets.names import pair

LABELS = (".png", ".tif", ".tiff", ".bmp")  # files that keep every id


class LabelFiles(NamedTuple):
    """The label file of each stem that has one, what their names add to the stems, and what else lies there.

    `surplus` counts label files of no stem, `others` names files of other types. `hint` names the option that tells
    what the names add, where one is needed.
    """

    files: dict[str, Path]
    suffix: str = ""
    surplus: int = 0
    others: tuple[str, ...] = ()
    hint: str | None = None


def match_label_files(folder: Path, stems: Sequence[str], suffix: str | None, option: str) -> LabelFiles:
    """Find the label files of images in a folder and its sub-folders, by the stems of the images.

    A file is called as its image, with its sub-folder where images share a name, and may add `suffix`. Without it, the
    suffix is found where no file is called as an image, and those that are called alike add the same. `option` is what
    sets it, for the hint. Raises UdasegError where the folder cannot be read, or two files have the same name.
    """
    listed = list_files(folder, LABELS, deep=True)
    # The stem of an image that shares its name has the folder too: seq1_000000 for seq1/000000.
    names = listed | {name.replace("/", "_"): path for name, path in listed.items()}
    images = {stem: Path(stem) for stem in stems}
    counts = count_suffixes(images, names)
    if suffix is None:
        suffix = next(iter(counts)) if len(counts) == 1 else ""
    partners = {name.removesuffix(suffix): path for name, path in names.items() if name.endswith(suffix)}
    pairs = pair({stem: stem for stem in stems}, partners)
    files = {stem: pairs[stem] for stem in stems if stem in pairs}
    surplus = len(set(listed.values()) - set(files.values()))
    return LabelFiles(files, suffix, surplus, listed.left_out, suffix_hint(images, names, option))
