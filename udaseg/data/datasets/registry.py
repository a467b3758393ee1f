"""Open a dataset by name: its images, or its images with labels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from udaseg.data.datasets import bdd100k, cityscapes, crosscity, folder, gta5, mapillary, synthia
from udaseg.data.datasets.lists import choose
from udaseg.data.image_sets import Image, ImageSet, Labelled, LabelledSet
from udaseg.errors import UdasegError, did_you_mean, join_names
from udaseg.labels import IGNORE, ClassSpace, Coding, lookup_table, train_id_table, train_ids

DATASETS = {
    "gta5": gta5,
    "synthia": synthia,
    "cityscapes": cityscapes,
    "mapillary": mapillary,
    "bdd100k": bdd100k,
    "crosscity": crosscity,
    "folder": folder,
}


def open_images(
    dataset: str, root: str | Path, split: str, limit: int | None = None, listed: Path | None = None
) -> ImageSet:
    """Open the images of a split, the first `limit` of them by stem; labels are neither read nor looked for.

    `listed` is a file that names the images to take (see `lists.choose`). Raises UdasegError for an unknown dataset
    or split, a missing directory, a split without images, and a list that names others.
    """
    root = Path(root)
    files = _images(dataset, root, split, listed)
    return ImageSet(dataset, root, split, tuple(Image(s, p) for s, p in list(files.items())[:limit]))


def open_labelled(
    dataset: str,
    root: str | Path,
    split: str,
    space: ClassSpace,
    limit: int | None = None,
    coding: str | None = None,
    listed: Path | None = None,
) -> LabelledSet:
    """Open the images of a split with their labels, in a class space.

    `coding` names what the ids of a `folder` dataset mean where it has no classes.yaml; every other dataset finds its
    own out. Raises UdasegError as `open_images` does, for images without a label, for labels of a `folder` dataset
    without an image, for labels whose encoding cannot be told, and for classes that the labels do not have.
    """
    root = Path(root)
    files = _images(dataset, root, split, listed)
    if coding is not None and dataset != "folder":
        raise UdasegError(f"{dataset} detects the coding of its labels", "leave out the coding; it is for `folder`")
    found = folder.labels(root, split, coding) if dataset == "folder" else DATASETS[dataset].labels(root, split)
    _expect_all(files, found.files, "label", root)
    if found.depth:
        _expect_all(files, found.depth, "depth map", root)
    notes = list(found.notes)
    if dataset == "folder" and listed is None:
        _expect_no_more(files, found.files, root / split)
    if spare := len(found.files.keys() - files.keys()):
        notes.append(f"{spare} labels have no image and are not used")
    ids = train_ids(found.coding, space)
    own = dataset == "folder" and coding is None and bool(ids)
    if own:  # one's own data need not have every class of the space; what it lacks is said
        notes += _differences(found.coding, space)
    lookup = lookup_table(ids) if own else train_id_table(found.coding, space)
    records = tuple(Labelled(s, p, found.files[s], found.depth.get(s)) for s, p in list(files.items())[:limit])
    known = np.zeros(256, bool)
    known[list(found.coding.ids)] = True
    known.setflags(write=False)
    coded = found.coding.name, lookup, known
    return LabelledSet(dataset, root, split, space, records, *coded, tuple(notes), found.fit, found.read_depth)


def detect(root: str | Path) -> str:
    """Name the dataset whose layout a directory has; raises UdasegError where none or several fit."""
    root = Path(root)
    if not root.is_dir():
        raise UdasegError(
            f"there is no directory {root}", "name the directory of one dataset, such as data/toytown/gta5"
        )
    names = [name for name, reader in DATASETS.items() if reader.matches(root)]
    if names in ([], ["folder"]):  # which any directory of directories looks like
        places = {root / name: reader for name, reader in DATASETS.items() if (root / name).is_dir()}
        inside = [place for place, reader in places.items() if reader.matches(place)]
        if inside:
            raise UdasegError(
                f"{root} is no dataset, and holds {join_names([child.name for child in inside])}",
                f"name one: {inside[0]}",
            )
    if len(names) != 1:
        fits = f"fits {' and '.join(names)}" if names else "fits none of the known datasets"
        raise UdasegError(f"{root}: the layout {fits}", f"name it with --dataset: {', '.join(DATASETS)}")
    return names[0]


def _differences(coding: Coding, space: ClassSpace) -> list[str]:
    have = list(dict.fromkeys(coding.classes.values()))
    without = [name for name in space.classes if name not in have]
    unused = [name for name in have if name not in space.classes]
    said = {"classes without labels": without, "labels of no class, ignored": unused}
    return [f"{what}: {', '.join(names)}" for what, names in said.items() if names]


def require_known(dataset: str) -> None:
    """Raise UdasegError for a name that is no dataset's."""
    if dataset not in DATASETS:
        known = f"{did_you_mean(dataset, DATASETS)}known: {', '.join(DATASETS)}"
        raise UdasegError(f"there is no dataset {dataset!r}", known)


def _images(dataset: str, root: Path, split: str, listed: Path | None) -> dict[str, Path]:
    require_known(dataset)
    files = DATASETS[dataset].images(root, split)
    if not files:
        raise UdasegError(f"{root}: the {split} split of {dataset} holds no images", DATASETS[dataset].DOWNLOAD_HINT)
    files = dict(sorted(files.items()))
    return files if listed is None else choose(files, listed)


def _expect_all(images: Mapping[str, Path], partners: Mapping[str, Path], what: str, root: Path) -> None:
    if missing := [path.name for stem, path in images.items() if stem not in partners]:
        found = f"found none for {len(missing)}: {join_names(missing)}"
        raise UdasegError(
            f"{root}: expected a {what} for each of {len(images)} images, {found}",
            f"complete the download or remove these images; `udaseg data check {root}` lists them all",
        )


def _expect_no_more(images: Mapping[str, Path], labels: Mapping[str, Path], place: Path) -> None:
    """Raise UdasegError for labels without an image: their images would be missed without a word."""
    if spare := [path.name for stem, path in labels.items() if stem not in images]:
        raise UdasegError(
            f"{place}: expected an image for each of {len(labels)} labels, found none for {len(spare)}: "
            f"{join_names(spare)}",
            f"add them as png or jpg in {place / 'images'}, or move these labels elsewhere",
        )


def require_labelled(images: LabelledSet) -> None:
    """Raise UdasegError where no label, of up to 100 spread over the set, shows a class: there is nothing to learn."""
    looked = np.unique(np.linspace(0, len(images) - 1, 100).astype(int))
    if not any((images.label(i) != IGNORE).any() for i in looked):
        raise UdasegError(
            f"{images.root}: every pixel is ignored in all of {len(looked)} labels of {len(images)} looked at; "
            f"expected some of {join_names(images.space.classes)}",
            f"udaseg data check {images.root} says which ids occur; the recipe's coding and space what they mean",
        )
