"""The user's own data: <split>/images, <split>/labels, optional <split>/depth, and the classes in classes.yaml."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from udaseg.data.datasets.folder_layout import (
    beside_images,
    first_folder,
    has_own_splits,
    image_folders,
    label_folders,
)
from udaseg.data.datasets.frames import FrameNumber, in_order
from udaseg.data.datasets.label_folder import LABELS
from udaseg.data.datasets.label_names import find_suffix, suffix_hint
from udaseg.data.datasets.labelmap import find_labelmap, read_labelmap
from udaseg.data.datasets.layout import (
    IMAGES,
    Files,
    Labels,
    build_labels,
    find_folder,
    is_folder,
    list_files,
)
from udaseg.data.datasets.names import choose_stems, pair
from udaseg.errors import UdasegError, join_names
from udaseg.io.files import parse_yaml
from udaseg.labels import CHANNELS, IGNORE, RGB, ClassSpace, Coding, class_space, find_coding

IMAGE_COUNTS: dict[str, int] = {}
DOWNLOAD_HINT = (
    "a folder dataset holds <split>/images/*.jpg (or png) and, where labelled, <split>/labels/*.png of the same names; "
    "or images/<split>/*.jpg and labels/<split>/*.png"
)
CLASSES_HINT = """write the meaning of the ids into a classes.yaml beside the splits:
names: [road, car, person]   # of id 0, 1, 2, or a mapping: {7: road, 26: car}
ignore: [255, [0, 0, 0]]     # ids and colours without a class
palette: [[128, 64, 128], [0, 0, 142], [220, 20, 60]]   # needed for labels in colours
channel: red                 # only for RGB labels with the id in one channel
or name a known coding of the labels: `coding: trainids` in a recipe, --coding trainids in a check"""
CLASSES = "classes.yaml"  # beside the splits
KEYS = ("names", "palette", "ignore", "ids", "channel")


def images(root: Path, split: str) -> Files:
    """List the images of a split by name, those of sub-folders too."""
    return list_files(images_folder(root, split), IMAGES, deep=True)


def images_folder(root: Path, split: str) -> Path:
    """Return the folder of the images of a split; raise AbsentError where there is none."""
    return find_folder(root, image_folders(root, split), f"the {split} images", DOWNLOAD_HINT)


def frames(files: Files) -> dict[str, FrameNumber]:
    """Return which frame of which video each image is: each sub-folder is a video, in the order of the names."""
    return in_order(files)


def flow(root: Path, split: str) -> Files:
    """List the optical flow of a split by name: <split>/flow/*.png."""
    folder = beside_images(root, split, "flow")
    hint = "compute it: udaseg flow --method dis"
    return list_files(
        find_folder(root, [folder.relative_to(root).as_posix()], f"the {split} optical flow", hint), [".png"], deep=True
    )


def labels(
    root: Path, split: str, coding: str | None = None, suffix: str | None = None, option: str = "--label-suffix"
) -> Labels:
    """List the labels of a split, in the named coding, or in that of classes.yaml without a name.

    `suffix` is what their names add to those of the images: it is found where all labels have the same one. `option`
    is what sets it, for hints. Raises UdasegError where there is neither a coding nor a valid classes.yaml, and where
    no label has the suffix.
    """
    named, others, suffix = list_label_files(root, split, suffix, option)
    pictures = images(root, split)
    depths = beside_images(root, split, "depth")
    depth = list_files(depths, [".png"], deep=True) if is_folder(depths) else {}
    if coding is not None:
        label_coding, source = find_coding(coding), f"the coding {coding!r}"
    else:
        file = classes_file(root, split)
        label_coding = (read_classes(file.parent) if file.name == CLASSES else read_labelmap(file))[1]
        source = label_coding.name
    notes = [f"labels: ids of {source}", f"depth: {'16-bit, in cm' if depth else 'none'}"]
    if suffix:
        notes.append(f"labels: the names add {suffix} to those of the images")
    if others:
        notes.append(f"labels: {len(others)} other files are left out: {join_names(others)}")
    # Files of no image, such as colour renderings beside the labels, tell nothing about the labels.
    of_images = pair(choose_stems(pictures), named)
    return replace(build_labels(of_images, label_coding, *notes, depth=depth), files=named)


def list_label_files(
    root: Path, split: str, suffix: str | None = None, option: str = "--label-suffix"
) -> tuple[Files, tuple[str, ...], str]:
    """List the label files of a split by name, without a look into them; and other files there, and their suffix.

    The arguments, and what is raised, are as of `labels`.
    """
    folder = find_folder(root, label_folders(root, split), f"the {split} labels", DOWNLOAD_HINT)
    files = list_files(folder, LABELS, deep=True)
    if files.left_out and not files:
        raise _no_label_files(root, folder, split, files.left_out)
    pictures = images(root, split)
    if suffix is None:
        suffix = find_suffix(pictures, files)
    named = list_files(folder, LABELS, suffix, deep=True) if suffix else files
    if files and not named:
        raise UdasegError(
            f"{folder}: expected labels whose names end in {suffix}.png, found {join_names(list(files))}",
            suffix_hint(pictures, files, option) or f"leave out {option}",
        )
    return named, files.left_out, suffix


def _no_label_files(root: Path, folder: Path, split: str, others: Sequence[str]) -> UdasegError:
    """Build the error for a folder of labels that holds other files alone, such as JPEG or annotations."""
    if all(name.endswith(".json") for name in others):
        pictures = first_folder(root, image_folders(root, split))
        words = ["udaseg", "data", "convert", str(folder), f"{root}-drawn", "--split", split, "--images", str(pictures)]
        hint = f"draw these annotations: {shlex.join(words)}"
    else:
        hint = "export the labels again as PNG: JPEG and other formats for photographs change ids"
    return UdasegError(f"{folder}: expected labels as PNG, TIFF or BMP, found {join_names(others)}", hint)


def classes_file(root: Path, split: str) -> Path:
    """Return the file with the classes of a split: classes.yaml, or labelmap.txt where that is missing.

    A classes.yaml lies in the directory of the split, or in one above it up to the root, for all splits there.
    """
    folder = root / split
    above = [folder, *(one for one in folder.parents if one != root and one.is_relative_to(root)), root]
    classes = [one / CLASSES for one in above]
    return next((file for file in classes if file.is_file()), find_labelmap(root, split) or classes[-1])


def matches(root: Path) -> bool:
    """Return whether a directory is a folder dataset."""
    return (root / CLASSES).is_file() or has_own_splits(root)


def read_classes(root: Path) -> tuple[ClassSpace, Coding]:
    """Read classes.yaml, and return its class space and the coding of the labels.

    `names` is a list (of id 0, 1, ...) or a mapping of ids to names; several ids may share a name. `ids` maps ids to
    names or to indices of the list; `names` then only gives the order. `ignore` lists ids and colours without a class;
    255 is one unless it has a name. `palette` lists the colours in the order of the names. `channel` names the one of
    an RGB label that has the ids. Raises UdasegError where the file is missing or breaks one of these rules.
    """
    path = root / CLASSES
    if not path.is_file():
        raise UdasegError(f"{root}: expected a classes.yaml, found none", CLASSES_HINT)
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UdasegError(f"{path}: expected YAML, found: {error}", CLASSES_HINT) from None
    if not isinstance(content, dict) or not isinstance(content.get("names"), list | dict):
        raise UdasegError(f"{path}: expected `names` as a list or a mapping, found {content!r}", CLASSES_HINT)
    if unknown := [key for key in content if key not in KEYS]:
        raise UdasegError(f"{path}: expected the keys {', '.join(KEYS)}, found {unknown}", CLASSES_HINT)
    names = content["names"]
    if isinstance(names, list) and len(set(map(str, names))) < len(names):
        raise UdasegError(f"{path}: expected each name once in a list, found {names!r}", CLASSES_HINT)
    if not all(isinstance(name, str) for name in (names.values() if isinstance(names, dict) else names)):
        raise UdasegError(f"{path}: expected names of classes as texts, found {names!r}", CLASSES_HINT)
    try:
        space = class_space(list(dict.fromkeys(names.values() if isinstance(names, dict) else names)))
    except UdasegError as error:
        raise UdasegError(f"{path}: {error.message}", CLASSES_HINT) from None
    channel = content.get("channel")
    if channel is not None and channel not in CHANNELS:
        raise UdasegError(f"{path}: expected a channel of {', '.join(CHANNELS)}, found {channel!r}", CLASSES_HINT)
    space = _with_palette(space, content.get("palette"), path)
    return space, _build_coding(space, content, path)


def _build_coding(space: ClassSpace, content: dict, path: Path) -> Coding:
    names, ids = content["names"], content.get("ids")
    by_id = ids or (names if isinstance(names, dict) else dict(enumerate(names)))
    ignored = content.get("ignore", [])
    ignored = ignored if isinstance(ignored, list) else [ignored]
    ignored_colours = [tuple(value) for value in ignored if _is_colour(value)]
    ignored = [value for value in ignored if not _is_colour(value)]
    if not isinstance(by_id, dict) or (ids and isinstance(names, dict)):
        raise UdasegError(f"{path}: expected `ids` as a mapping beside a list of names, found {ids!r}", CLASSES_HINT)
    if invalid := [value for value in [*ignored, *by_id.values()] if not isinstance(value, int | str)]:
        raise UdasegError(f"{path}: expected ids and names, found {invalid}", CLASSES_HINT)
    ignored = set(ignored)
    by_index = dict(enumerate(space.classes))
    by_id = {i: by_index.get(name, name) for i, name in by_id.items() if name != IGNORE}
    ignored |= {IGNORE} - set(by_id) | {i for i, name in (ids or {}).items() if name == IGNORE}
    wrong = [i for i in [*by_id, *ignored] if type(i) is not int or not 0 <= i <= 255]
    wrong = wrong or [i for i, name in by_id.items() if name not in space.classes or i in ignored]
    if wrong:
        raise UdasegError(f"{path}: expected ids 0 to 255, each of one class or ignored, found {wrong}", CLASSES_HINT)
    free = [i for i in range(256) if i not in by_id]
    if ignored_colours and not free:
        raise UdasegError(f"{path}: expected an id without a class for the ignored colours, found none", CLASSES_HINT)
    if ignored_colours and not ignored:
        ignored = set(free[:1])
    colours = _pair_colours(space, by_id, content) + tuple((colour, max(ignored)) for colour in ignored_colours)
    return Coding("classes.yaml", by_id, frozenset([*by_id, *ignored]), colours, content.get("channel"))


def _pair_colours(space: ClassSpace, by_id: dict[int, str], content: dict) -> tuple[tuple[RGB, int], ...]:
    """Pair the colours of `palette`, where there is one, with all ids of their classes."""
    if content.get("palette") is None:
        return ()
    colour_of = dict(zip(space.classes, space.palette, strict=True))
    return tuple((colour_of[name], i) for i, name in by_id.items())


def _with_palette(space: ClassSpace, palette: list | None, path: Path) -> ClassSpace:
    if palette is None:
        return space
    valid = isinstance(palette, list) and len(palette) == len(space)
    if not valid or not all(map(_is_colour, palette)):
        raise UdasegError(
            f"{path}: expected a palette of {len(space)} colours [R, G, B], found {palette}", CLASSES_HINT
        )
    return ClassSpace(space.name, space.classes, tuple(map(tuple, palette)))


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in value)
