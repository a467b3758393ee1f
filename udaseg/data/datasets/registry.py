"""Open a dataset by name: images alone, or images with labels."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
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
    folder_layout,
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
from udaseg.data.datasets.indexed_images import index_images
from udaseg.data.datasets.label_names import suffix_hint
from udaseg.data.datasets.layout import Files, Labels, describe, list_directory
from udaseg.data.datasets.lists import select_listed
from udaseg.data.datasets.names import choose_stems, mark_alike, pair
from udaseg.data.findings import check_command
from udaseg.data.image_sets import Image, ImageSet, Labelled, LabelledSet
from udaseg.data.places.indexed_path import IndexedPath, as_root
from udaseg.errors import UdasegError, did_you_mean, join_names
from udaseg.labels import IGNORE, ClassSpace, find_coding, lookup_table, train_id_table, train_ids

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
    dataset: str, root: str | Path | IndexedPath, split: str, limit: int | None = None, list_file: Path | None = None
) -> ImageSet:
    """Open the images of a split without their labels, sorted by stem, at most `limit` of them.

    `list_file` names the images to use (see `lists.select_listed`). Raises UdasegError for an unknown dataset or
    split, a missing directory, a split without images, and a list file with unknown names.
    """
    root = as_root(root)
    is_indexed = dataset == "folder" and isinstance(root, IndexedPath) and list_file is None
    if is_indexed and (indexed := index_images(folder.images_folder(root, split))):
        return ImageSet(dataset, root, split, indexed[0][:limit], indexed[1])
    listing = list_images(dataset, root, split)
    stems = choose_stems(listing)
    files = _select(listing, stems, list_file)
    reader = DATASETS[dataset]
    numbers = {stems[name]: one for name, one in reader.frames(listing).items()} if hasattr(reader, "frames") else {}
    records = tuple(Image(s, p, *numbers.get(s, ())) for s, p in list(files.items())[:limit])
    return ImageSet(dataset, root, split, records, listing.left_out)


def open_labelled(
    dataset: str,
    root: str | Path | IndexedPath,
    split: str,
    space: ClassSpace,
    limit: int | None = None,
    coding: str | None = None,
    list_file: Path | None = None,
    label_suffix: str | None = None,
    suffix_option: str = "--label-suffix",
    skip_unlabelled: bool = False,
    missing: Sequence[str] = (),
) -> LabelledSet:
    """Open the images of a split with their labels in a class space, sorted by stem, at most `limit` of them.

    `coding` names the label coding of a `folder` dataset without classes.yaml; all other datasets detect theirs.
    `label_suffix` is what the label names of a `folder` dataset add to image names, and `suffix_option` what sets it.
    `list_file` names the images to use (see `lists.select_listed`). With `skip_unlabelled` the images without a label
    are left out, and a warning counts them. Labels of the `missing` classes are ignored.

    Raises UdasegError in the cases of `open_images`; for an image without a label, or with `skip_unlabelled` where no
    image has one; for a label of a `folder` dataset without an image; for an unknown encoding; and for a class of the
    space that the labels lack and that is not missing, unless classes.yaml has at least one and none in another
    spelling.
    """
    root = as_root(root)
    require_detected(dataset, coding, label_suffix)
    listing = list_images(dataset, root, split)
    stems = choose_stems(listing)
    files = _select(listing, stems, list_file)
    found = list_labels(dataset, root, split, coding, label_suffix, suffix_option)
    labels, surplus = match_labels(stems, found)
    notes, warnings = list(labels.notes), []
    if skip_unlabelled and (labelled := {stem: path for stem, path in files.items() if stem in labels.files}):
        if unlabelled := len(files) - len(labelled):
            warnings.append(f"{unlabelled} of {len(files)} images in {split} of {root} have no label and are left out")
        files = labelled
    chosen = {name: path for name, path in listing.items() if stems[name] in files}
    if without := [describe(name, path) for name, path in chosen.items() if stems[name] not in labels.files]:
        hint = suffix_hint(listing, found.files, suffix_option) if dataset == "folder" and not label_suffix else None
        raise _incomplete(root, "label", len(files), without, surplus["label"], hint)
    without = [describe(name, path) for name, path in chosen.items() if stems[name] not in labels.depth]
    if found.depth and without:
        raise _incomplete(root, "depth map", len(files), without, surplus["depth map"])
    if dataset == "folder" and list_file is None and surplus["label"]:
        raise _has_surplus(root, split, len(found.files), surplus["label"])
    if list_file is None and surplus["label"]:
        warnings.append(f"{len(surplus['label'])} labels in {split} of {root} have no image and are not used")
    ids = train_ids(labels.coding, space, missing)
    may_lack_classes = dataset == "folder" and coding is None and bool(ids)  # a user's own data need not have them all
    absent = [name for name in missing_classes(ids, space) if name not in missing]
    if dataset == "folder" and coding is None:
        require_same_spelling(absent, labels.coding, str(folder.classes_file(root, split)))
    if may_lack_classes and absent:
        file = folder.classes_file(root, split)
        warnings.append(f"no label of {root} can be {', '.join(absent)}: {file} has no such class")
    unused = [name for name in dict.fromkeys(labels.coding.classes.values()) if name not in space.classes]
    if may_lack_classes and unused:
        notes.append(f"labels of no class, ignored: {', '.join(unused)}")
    if missing:
        notes.append(f"labels of missing classes, ignored: {', '.join(missing)}")
    lookup = lookup_table(ids) if may_lack_classes else train_id_table(labels.coding, space, missing)
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
        listing.left_out,
    )


def require_detected(dataset: str, coding: str | None, suffix: str | None) -> None:
    """Raise UdasegError for an unknown coding, and where a dataset detects its own coding and names of labels."""
    if coding is not None:
        find_coding(coding)
    if coding is not None and dataset != "folder":
        raise UdasegError(f"{dataset} detects the coding of its labels", "leave out the coding; it is for `folder`")
    if suffix is not None and dataset != "folder":
        raise UdasegError(f"{dataset} knows the names of its labels", "leave out their suffix; it is for `folder`")


def list_labels(
    dataset: str, root: Path, split: str, coding: str | None, suffix: str | None, suffix_option: str
) -> Labels:
    """List the labels of a split by name; the last three are for `folder` datasets alone (see `open_labelled`)."""
    if dataset == "folder":
        return folder.labels(root, split, coding, suffix, suffix_option)
    return DATASETS[dataset].labels(root, split)


def match_labels(stems: Mapping[str, str], labels: Labels) -> tuple[Labels, dict[str, list[str]]]:
    """Return the labels by the stems of their images, and the names of each "label" and "depth map" of no image.

    `stems` maps the names of all images of the split to their stems.
    """
    matched, surplus = {}, {}
    for kind, partners in (("label", labels.files), ("depth map", labels.depth)):
        pairs = pair(stems, partners)
        used = set(pairs.values())
        matched[kind] = {stems[name]: path for name, path in pairs.items()}
        surplus[kind] = [describe(name, path) for name, path in partners.items() if path not in used]
    return replace(labels, files=matched["label"], depth=matched["depth map"]), surplus


def detect(root: str | Path | IndexedPath, alone: bool = False) -> str:
    """Return the name of the dataset whose layout a directory has; with `alone` a folder of images alone is one too.

    Raises UdasegError where no layout fits, or several do.
    """
    root = as_root(root)
    if not root.is_dir():
        raise UdasegError(f"there is no directory {root}", "name that of one dataset, such as data/toytown/gta5")
    names = [name for name, reader in DATASETS.items() if reader.matches(root)]
    if names in ([], ["folder"]) and (datasets := datasets_within(root, by_name=bool(names))):
        raise UdasegError(
            f"{root} is not a dataset; it holds {join_names([child.name for child in datasets])}",
            f"name one of them, as with {check_command(datasets[0])}",
        )
    if len(names) > 1:
        raise UdasegError(f"{root}: the layout fits {' and '.join(names)}", f"name one, as with --dataset {names[0]}")
    if not names and alone and folder_layout.holds_images_alone(root):
        return "folder"
    if not names:
        raise UdasegError(
            f"{root}: the layout fits none of the known datasets",
            f"{folder.DOWNLOAD_HINT}; other layouts are those of {', '.join(DATASETS)}",
        )
    return names[0]


def datasets_within(root: Path, by_name: bool) -> list[Path]:
    """List the datasets in a directory; with `by_name` those alone that have the name of their layout.

    Any directory of directories looks like a folder dataset, and its splits may look like other layouts.
    """
    if by_name:
        return [
            root / name for name, reader in DATASETS.items() if (root / name).is_dir() and reader.matches(root / name)
        ]
    found = []
    for child in sorted(root / entry.name for entry in list_directory(root) if entry.is_dir()):
        with suppress(UdasegError):  # one that cannot be read
            if any(reader.matches(child) for reader in DATASETS.values()):
                found.append(child)
    return found


def require_known(dataset: str) -> None:
    """Raise UdasegError unless a dataset has this name."""
    if dataset not in DATASETS:
        hint = f"{did_you_mean(dataset, DATASETS)}known: {', '.join(DATASETS)}"
        raise UdasegError(f"there is no dataset {dataset!r}", hint)


def list_images(dataset: str, root: Path, split: str) -> Files:
    """List the images of a split by name; raise UdasegError for an unknown dataset, and a split without images."""
    require_known(dataset)
    files = DATASETS[dataset].images(root, split)
    if not files:
        others = f"; {len(files.left_out)} files are left out: {join_names(files.left_out)}" if files.left_out else ""
        message = f"{root}: the {split} split of {dataset} holds no images{others}"
        raise UdasegError(message, DATASETS[dataset].DOWNLOAD_HINT)
    return files


def _select(images: Mapping[str, Path], stems: Mapping[str, str], list_file: Path | None) -> dict[str, Path]:
    """Return the images by stem, in this order; those that a list names, where there is one."""
    files = dict(sorted((stems[name], path) for name, path in images.items()))
    return files if list_file is None else select_listed(files, list_file)


def _incomplete(
    root: Path, kind: str, images: int, missing: list[str], others: list[str], hint: str | None = None
) -> UdasegError:
    return UdasegError(
        f"{root}: expected a {kind} for each of {images} images, "
        f"found none for {len(missing)}: {join_names(mark_alike(missing, others))}",
        hint or f"add these {kind}s, or remove the images; {check_command(root)} lists them all",
    )


def _has_surplus(root: Path, split: str, labels: int, surplus: list[str]) -> UdasegError:
    """Return the error of labels without an image: a lost image must not go unnoticed."""
    folder = folder_layout.first_folder(root, folder_layout.image_folders(root, split))
    return UdasegError(
        f"{folder}: expected an image for each of {labels} labels, found none for {len(surplus)}: "
        f"{join_names(surplus)}",
        f"add them as images in {folder}, or move these labels elsewhere",
    )


def require_labelled(images: LabelledSet) -> None:
    """Raise UdasegError where up to 100 labels, evenly spread over the set, have only ignored pixels."""
    indices = np.unique(np.linspace(0, len(images) - 1, 100).astype(int))
    if not any((images.label(i) != IGNORE).any() for i in indices):
        raise UdasegError(
            f"{images.root}: every pixel is ignored in all of {len(indices)} labels (of {len(images)}) "
            f"that were checked; expected some of {join_names(images.space.classes)}",
            f"{check_command(images.root)} shows which ids occur; the recipe's coding and space give their meaning",
        )
