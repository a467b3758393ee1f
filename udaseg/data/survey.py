"""Look at a directory for `udaseg init`: layout, sizes, the coding of its labels, and the classes that they show."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from udaseg.config import HxW
from udaseg.data.datasets import folder
from udaseg.data.datasets.layout import count_folders
from udaseg.data.datasets.registry import list_labels, open_labelled
from udaseg.data.findings import check_command
from udaseg.data.guess_coding import Guess, guess_coding
from udaseg.data.image_sets import LabelledSet
from udaseg.data.images.read import image_size, read_image
from udaseg.data.locate import Place, find_places, require_images_alone, unlabelled_error
from udaseg.errors import UdasegError, join_names
from udaseg.labels import OWN_CODINGS, class_space
from udaseg.metrics import count_ids
from udaseg.parallel.threads import Progress, map_in_order, with_progress

Side = Literal["source", "target"]  # the section of a recipe
SIZES = 300  # images whose headers are read
DECODED = 12  # of these, images that are decoded
COUNTED = 500  # labels that are read


@dataclass(frozen=True)
class Labels:
    """What the labels of a split mean and show.

    `coding` is the setting of a recipe that names their coding, None where the dataset or a classes.yaml does. `guess`
    says how it was found, None where nobody had to guess. `classes` holds the names of all classes, and `shown` those
    of them that up to 500 labels show, with their pixels; `counted` is the number of these labels, `total` that of all.
    """

    coding: str | None
    guess: Guess | None
    own: bool  # a user has written the names down
    file: Path | None  # where
    classes: tuple[str, ...]
    shown: Mapping[str, int]
    counted: int
    total: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """One side of an adaptation: a place, its images, and the labels where they are read.

    `sizes` counts the (height, width) of up to 300 images. `folders` counts images by sub-folder.
    """

    place: Place
    images: int
    sizes: Mapping[HxW, int]
    folders: Mapping[str, int]
    labels: Labels | None = None


def survey_source(root: Path, coding: str | None, suffix: str | None, progress: Progress | None = None) -> Domain:
    """Look at a directory of labelled images.

    `coding` and `suffix` are those that a user names, for a folder of one's own. Raises UdasegError where there are no
    images or labels, where some cannot be read, and where the meaning of the labels is unknown.
    """
    places = find_places(root)
    if not places:
        raise unlabelled_error(root)
    if coding or suffix:  # the known datasets have their own
        places = [place for place in places if place.dataset == "folder"] or places
    for place in places[:-1]:
        if (domain := _try_gta5(place, progress)) is not None:
            return domain
    place = places[-1]
    if not place.has_labels():
        raise unlabelled_error(place.folder)
    return _survey(place, survey_labels(place, "source", coding, suffix, progress=progress))


def survey_target(place: Place) -> Domain:
    """Look at images without their labels; raise UdasegError where some cannot be read."""
    require_images_alone(place)
    return _survey(place, None)


def survey_labels(
    place: Place, side: Side, coding: str | None, suffix: str | None, progress: Progress | None = None
) -> Labels:
    """Look at the labels of a split: their coding, and the classes that up to 500 of them show.

    Raises UdasegError where the coding is unknown, and where labels cannot be read or do not fit their images.
    """
    guess, file = None, None
    option = f"--set {side}.labels.suffix"
    if place.dataset == "folder":
        file = folder.classes_file(place.root, place.split)
        if coding is None and not file.is_file():
            files = folder.list_label_files(place.root, place.split, suffix, option)[0]
            guess = guess_coding(files, place.folder, file, f"{side}.coding")
            coding = guess.coding
    found = list_labels(place.dataset, place.root, place.split, coding, suffix, option)
    names = tuple(dict.fromkeys(found.coding.classes.values()))
    images = open_labelled(
        place.dataset,
        place.root,
        place.split,
        class_space(names),
        coding=coding,
        label_suffix=suffix,
        suffix_option=option,
        skip_unlabelled=side == "target",
    )
    indices = np.unique(np.linspace(0, len(images) - 1, COUNTED).astype(int))
    shown = _count(images, indices, progress)
    if not shown.any():
        raise UdasegError(
            f"{place.folder}: every pixel is ignored in all of {len(indices)} labels, read as {found.coding.name}",
            f"if they are labels of your own, write their meaning into {file or place.root / folder.CLASSES}",
        )
    pixels = {name: int(count) for name, count in zip(names, shown, strict=True) if count}
    own = found.coding.name in OWN_CODINGS
    counted, total = len(indices), len(images)
    return Labels(
        coding, guess, own, file if own else None, names, pixels, counted, total, (*found.notes, *images.warnings)
    )


def _try_gta5(place: Place, progress: Progress | None) -> Domain | None:
    """Look at a directory with the layout of GTA5; None where its labels are not those of GTA5."""
    try:
        found = list_labels(place.dataset, place.root, place.split, None, None, "")
        guess = guess_coding(found.files, place.folder, place.root / folder.CLASSES, "source.coding")
    except UdasegError:  # looked at as a folder, they get an error that tells more
        return None
    if found.coding.name not in (guess.coding, *guess.others):
        return None
    return _survey(place, survey_labels(place, "source", None, None, progress))


def _count(images: LabelledSet, indices: np.ndarray, progress: Progress | None) -> np.ndarray:
    """Count the pixels of each class in some labels, int64 [C]."""
    counts = np.zeros(256, np.int64)
    for pixels in with_progress(map_in_order(lambda i: count_ids(images.label(i)), indices), len(indices), progress):
        counts += pixels
    return counts[: len(images.space)]


def _survey(place: Place, labels: Labels | None) -> Domain:
    """Read the sizes of images, and decode a few; raise UdasegError where one cannot be read."""
    files = place.list_images()
    paths = list(files.values())
    sample = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, SIZES).astype(int))]
    results = [*map_in_order(_size, sample)]
    decoded = [*map_in_order(_problem, sample[:: max(1, len(sample) // DECODED)])]
    problems = [one for one in (*results, *decoded) if isinstance(one, UdasegError)]
    if problems:
        own = ["--dataset", "folder"] if place.dataset == "folder" else []
        broken = list(dict.fromkeys(error.message for error in problems))
        raise UdasegError(
            f"{place.folder}: of {len(sample)} images that were looked at, {len(broken)} cannot be read: "
            f"{join_names(broken, 2)}",
            f"{problems[0].hint}; {check_command(place.root, *own)} finds all of them",
        )
    sizes = Counter(size for size in results if not isinstance(size, UdasegError))
    return Domain(place, len(files), sizes, count_folders(files), labels)


def _size(path: Path) -> HxW | UdasegError:
    try:
        return image_size(path)
    except UdasegError as error:
        return error


def _problem(path: Path) -> UdasegError | None:
    try:
        read_image(path)
    except UdasegError as error:
        return error
    return None
