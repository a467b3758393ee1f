"""Label files for images of no dataset: those of a folder, matched by name, with the meaning of their ids."""

from pathlib import Path

import numpy as np

from udaseg.data.datasets.folder import CLASSES, read_classes
from udaseg.data.datasets.label_folder import match_label_files
from udaseg.data.datasets.layout import build_labels
from udaseg.data.image_sets import Labelled, LabelledSet
from udaseg.data.images.loose import LooseImages
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace, Coding, find_coding, lookup_table, train_ids
from udaseg.parallel.threads import Progress, map_in_order, with_progress


def open_loose_labels(
    images: LooseImages, folder: Path, space: ClassSpace, coding: str | None, option: str, coding_option: str
) -> LabelledSet:
    """Match the label files of a folder with images, in a class space; images without a label are left out.

    `coding` names what the ids mean. Without it, the classes.yaml in the folder or up to two folders above says so;
    without one, they are train ids. `option` and `coding_option` name the flags of both, for messages. Raises
    UdasegError where no image has a label, and where no id is of a class of the space.
    """
    found = match_label_files(folder, images.stems, None, option)
    if not found.files:
        raise UdasegError(
            f"{folder} holds no label for any of the {len(images)} images, the first is {images.stems[0]}",
            f"name a directory that holds {images.stems[0]}.png and so on with {option}",
        )
    meaning = _meaning(folder, coding)
    ids = train_ids(meaning, space)
    if not ids:
        raise UdasegError(
            f"{folder}: no id of the coding {meaning.name} is of a class of the model: {', '.join(space.classes)}",
            f"name the coding of the labels with {coding_option}",
        )
    labels = build_labels(found.files, meaning, f"{len(found.files)} of {len(images)} images have a label")
    is_known = np.zeros(256, bool)
    is_known[list(meaning.ids)] = True
    index = {stem: i for i, stem in enumerate(images.stems)}
    records = tuple(Labelled(stem, images.files[index[stem]], path, None) for stem, path in labels.files.items())
    return LabelledSet(
        "folder", folder, "", space, records, meaning.name, lookup_table(ids), is_known, labels.notes,
        container=labels.container,
        read_image=lambda record: images.image(index[record.stem]),
        read_size=lambda record: images.size(index[record.stem]),
        coding_option=coding_option,
    )  # fmt: skip


def require_readable(labels: LabelledSet, progress: Progress | None = None) -> None:
    """Read all labels once; raise UdasegError for the first that cannot be scored, as `LabelledSet.full_label` does."""
    for _ in with_progress(map_in_order(labels.full_label, range(len(labels))), len(labels), progress):
        pass


def find_classes(folder: Path) -> Path | None:
    """Return the classes.yaml in a folder of labels or up to two folders above it; None without one."""
    places = (folder, folder.resolve().parent, folder.resolve().parent.parent)
    return next((place / CLASSES for place in places if (place / CLASSES).is_file()), None)


def _meaning(folder: Path, coding: str | None) -> Coding:
    if coding is not None:
        return find_coding(coding)
    classes = find_classes(folder)
    return find_coding("trainids") if classes is None else read_classes(classes.parent)[1]
