"""Open a dataset by name: images alone, or images with labels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from udaseg.data.classes import missing_classes, require_same_spelling
from udaseg.data.datasets import (
    acdc,
    bdd100k,
    carla,
    cityscapes,
    crosscity,
    darkzurich,
    foggycityscapes,
    folder,
    gta5,
    idd,
    idda,
    kitti,
    mapillary,
    synscapes,
    synthia,
    urbansyn,
    virtualkitti2,
    wilddash2,
)
from udaseg.data.datasets.lists import select_listed
from udaseg.data.image_sets import Image, ImageSet, Labelled, LabelledSet
from udaseg.errors import UdasegError, did_you_mean, join_names
from udaseg.labels import IGNORE, ClassSpace, lookup_table, train_id_table, train_ids

DATASETS = {
    "gta5": gta5,
    "synthia": synthia,
    "cityscapes": cityscapes,
    "mapillary": mapillary,
    "bdd100k": bdd100k,
    "crosscity": crosscity,
    "acdc": acdc,
    "darkzurich": darkzurich,
    "foggycityscapes": foggycityscapes,
    "kitti": kitti,
    "idd": idd,
    "wilddash2": wilddash2,
    "urbansyn": urbansyn,
    "synscapes": synscapes,
    "virtualkitti2": virtualkitti2,
    "carla": carla,
    "idda": idda,
    "folder": folder,
}


def open_images(
    dataset: str, root: str | Path, split: str, limit: int | None = None, list_file: Path | None = None
) -> ImageSet:
    """Open the images of a split without their labels, sorted by stem, at most `limit` of them.

    `list_file` names the images to use (see `lists.select_listed`). Raises UdasegError for an unknown dataset or
    split, a missing directory, a split without images, and a list file with unknown names.
    """
    root = Path(root)
    files = _images(dataset, root, split, list_file)
    return ImageSet(dataset, root, split, tuple(Image(s, p) for s, p in list(files.items())[:limit]))


def open_labelled(
    dataset: str,
    root: str | Path,
    split: str,
    space: ClassSpace,
    limit: int | None = None,
    coding: str | None = None,
    list_file: Path | None = None,
    skip_unlabelled: bool = False,
) -> LabelledSet:
    """Open the images of a split with their labels in a class space, sorted by stem, at most `limit` of them.

    `coding` names the label coding of a `folder` dataset without classes.yaml; all other datasets detect theirs.
    `list_file` names the images to use (see `lists.select_listed`). With `skip_unlabelled` the images without a label
    are left out, and a warning counts them. Raises UdasegError in the cases of `open_images`; for an image without a
    label, or with `skip_unlabelled` where no image has one; for a label of a `folder` dataset without an image; for
    an unknown encoding; and for a class of the space that the labels lack, unless classes.yaml has at least one and
    none in another spelling.
    """
    root = Path(root)
    files = _images(dataset, root, split, list_file)
    if coding is not None and dataset != "folder":
        raise UdasegError(f"{dataset} detects the coding of its labels", "leave out the coding; it is for `folder`")
    labels = folder.labels(root, split, coding) if dataset == "folder" else DATASETS[dataset].labels(root, split)
    notes, warnings = list(labels.notes), []
    if skip_unlabelled and (labelled := {stem: path for stem, path in files.items() if stem in labels.files}):
        if unlabelled := len(files) - len(labelled):
            warnings.append(f"{unlabelled} of {len(files)} images in {split} of {root} have no label and are left out")
        files = labelled
    _check_complete(files, labels.files, "label", root)
    if labels.depth:
        _check_complete(files, labels.depth, "depth map", root)
    if dataset == "folder" and list_file is None:
        _check_no_surplus(files, labels.files, root / split)
    if list_file is None and (surplus := len(labels.files.keys() - files.keys())):
        warnings.append(f"{surplus} labels in {split} of {root} have no image and are not used")
    ids = train_ids(labels.coding, space)
    may_lack_classes = dataset == "folder" and coding is None and bool(ids)
    missing = missing_classes(ids, space)
    if dataset == "folder" and coding is None:  # a user's own data need not have every class of the space
        require_same_spelling(missing, labels.coding, str(root / folder.CLASSES))
    if may_lack_classes and missing:
        warnings.append(f"no label of {root} can be {', '.join(missing)}: {root / folder.CLASSES} has no such class")
    unused = [name for name in dict.fromkeys(labels.coding.classes.values()) if name not in space.classes]
    if may_lack_classes and unused:
        notes.append(f"labels of no class, ignored: {', '.join(unused)}")
    lookup = lookup_table(ids) if may_lack_classes else train_id_table(labels.coding, space)
    records = tuple(Labelled(s, p, labels.files[s], labels.depth.get(s)) for s, p in list(files.items())[:limit])
    is_known = np.zeros(256, bool)
    is_known[list(labels.coding.ids)] = True
    is_known.setflags(write=False)
    return LabelledSet(
        dataset,
        root,
        split,
        space,
        records,
        labels.coding.name,
        lookup,
        is_known,
        tuple(notes),
        labels.resize,
        labels.read_depth,
        labels.container,
        tuple(warnings),
    )


def detect(root: str | Path) -> str:
    """Return the name of the dataset whose layout a directory has.

    Raises UdasegError where no layout fits, or several do.
    """
    root = Path(root)
    if not root.is_dir():
        raise UdasegError(
            f"there is no directory {root}", "name the directory of one dataset, such as data/toytown/gta5"
        )
    names = [name for name, reader in DATASETS.items() if reader.matches(root)]
    if names in ([], ["folder"]):  # any directory of directories looks like a folder dataset
        subfolders = {root / name: reader for name, reader in DATASETS.items() if (root / name).is_dir()}
        datasets = [subfolder for subfolder, reader in subfolders.items() if reader.matches(subfolder)]
        if datasets:
            raise UdasegError(
                f"{root} is not a dataset; it holds {join_names([child.name for child in datasets])}",
                f"name one of them: {datasets[0]}",
            )
    if len(names) != 1:
        fits = f"fits {' and '.join(names)}" if names else "fits none of the known datasets"
        raise UdasegError(f"{root}: the layout {fits}", f"name it with --dataset: {', '.join(DATASETS)}")
    return names[0]


def require_known(dataset: str) -> None:
    """Raise UdasegError unless a dataset has this name."""
    if dataset not in DATASETS:
        hint = f"{did_you_mean(dataset, DATASETS)}known: {', '.join(DATASETS)}"
        raise UdasegError(f"there is no dataset {dataset!r}", hint)


def _images(dataset: str, root: Path, split: str, list_file: Path | None) -> dict[str, Path]:
    require_known(dataset)
    files = DATASETS[dataset].images(root, split)
    if not files:
        raise UdasegError(f"{root}: the {split} split of {dataset} holds no images", DATASETS[dataset].DOWNLOAD_HINT)
    files = dict(sorted(files.items()))
    return files if list_file is None else select_listed(files, list_file)


def _check_complete(images: Mapping[str, Path], partners: Mapping[str, Path], kind: str, root: Path) -> None:
    if missing := [path.name for stem, path in images.items() if stem not in partners]:
        raise UdasegError(
            f"{root}: expected a {kind} for each of {len(images)} images, "
            f"found none for {len(missing)}: {join_names(missing)}",
            f"complete the download or remove these images; `udaseg data check {root}` lists them all",
        )


def _check_no_surplus(images: Mapping[str, Path], labels: Mapping[str, Path], folder: Path) -> None:
    """Raise UdasegError for labels without an image: a lost image must not go unnoticed."""
    if surplus := [path.name for stem, path in labels.items() if stem not in images]:
        raise UdasegError(
            f"{folder}: expected an image for each of {len(labels)} labels, found none for {len(surplus)}: "
            f"{join_names(surplus)}",
            f"add them as png or jpg in {folder / 'images'}, or move these labels elsewhere",
        )


def require_labelled(images: LabelledSet) -> None:
    """Raise UdasegError where up to 100 labels, evenly spread over the set, have only ignored pixels."""
    indices = np.unique(np.linspace(0, len(images) - 1, 100).astype(int))
    if not any((images.label(i) != IGNORE).any() for i in indices):
        raise UdasegError(
            f"{images.root}: every pixel is ignored in all of {len(indices)} labels (of {len(images)}) "
            f"that were checked; expected some of {join_names(images.space.classes)}",
            f"udaseg data check {images.root} shows which ids occur; the recipe's coding and space give their meaning",
        )
