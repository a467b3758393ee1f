"""Datasets for PyTorch's DataLoader, labels as train ids, and counts of classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from udaseg.api.arrays import ArrayOrTensor, match_kind, require_size, to_array
from udaseg.data.augment import Pair, fit
from udaseg.data.datasets.container import detect_container
from udaseg.data.datasets.registry import open_images, open_labelled
from udaseg.data.image_sets import ImageSet, LabelledSet
from udaseg.data.images.read import read_label_ids, read_train_ids
from udaseg.errors import UdasegError, join_names
from udaseg.labels import IGNORE, ClassSpace, Coding, class_space, find_coding, train_id_table
from udaseg.statistics import class_counts as statistics

Sample = dict[str, Any]


class SegmentationDataset(Dataset[Sample]):
    """The images of a dataset, with labels or without, as tensors. `dataset` opens one.

    A sample has "image", uint8 [3, H, W] in RGB; "label", int64 [H, W], train ids, 255 ignored; "depth", int32 [H, W]
    in centimetres, where asked for; and "name", which is unique. Workers of a DataLoader may read it.
    """

    def __init__(
        self,
        images: ImageSet | LabelledSet,
        space: ClassSpace,
        size: tuple[int, int] | None = None,
        pad: bool = False,
        depth: bool = False,
        transform: Callable[[Sample], Sample] | None = None,
    ):
        self.images, self.space, self.size, self.pad = images, space, size, pad
        self.depth, self.transform = depth, transform

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their train ids."""
        return self.space.classes

    @property
    def names(self) -> list[str]:
        """The name of each image."""
        return [record.stem for record in self.images.records]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample. Raises UdasegError for a damaged file, and for an id that the dataset does not have."""
        images, image_HWC = self.images, self.images.image(index)
        label_HW, depth_HW = np.full(image_HWC.shape[:2], IGNORE, np.uint8), None
        if isinstance(images, LabelledSet):
            label_HW = images.label(index)
            depth_HW = images.depth(index).astype(np.int32) if self.depth else None
        pair = Pair(image_HWC, label_HW, depth=depth_HW)
        if self.size is not None:
            pair = fit(pair, self.size, self.pad)
        sample: Sample = {"image": torch.from_numpy(np.array(pair.image.transpose(2, 0, 1), order="C"))}
        if isinstance(images, LabelledSet):
            sample["label"] = torch.from_numpy(pair.label.astype(np.int64))
        if pair.depth is not None:
            sample["depth"] = torch.from_numpy(np.array(pair.depth))
        sample["name"] = images.records[index].stem
        return sample if self.transform is None else self.transform(sample)


def dataset(
    name: str,
    root: str | Path,
    split: str = "train",
    *,
    space: str | Sequence[str] = "cs19",
    size: tuple[int, int] | None = None,
    pad: bool = False,
    labels: bool = True,
    depth: bool = False,
    limit: int | None = None,
    list_file: str | Path | None = None,
    coding: str | None = None,
    label_suffix: str | None = None,
    missing: Sequence[str] = (),
    skip_unlabelled: bool = False,
    transform: Callable[[Sample], Sample] | None = None,
) -> SegmentationDataset:
    """Open a dataset of docs/datasets.md, such as "cityscapes", as it unpacks in the directory `root`.

    Samples are dictionaries, see `SegmentationDataset`. `space` names the classes: "cs19", "syn16", "syn13",
    "grp7-full", "grp7-dada", or a list of names. Images are resized to `size` (height, width), bicubic, labels nearest;
    with `pad` they keep their aspect in the top left corner. Without `labels` no label file is opened. `limit` takes
    the first images, and `list_file` those that a text file names. `coding` and `label_suffix` are for the dataset
    "folder", whose classes.yaml gives the meaning of the ids otherwise. Labels of `missing` classes are ignored.
    `skip_unlabelled` leaves out images without a label. `transform` changes each sample. Raises UdasegError for an
    unknown dataset, split or class, and for missing files; what is left out causes a warning.
    """
    classes, root = class_space(space), Path(root)
    listed = None if list_file is None else Path(list_file)
    size = None if size is None else require_size("size", size)
    if limit is not None and limit < 1:
        raise UdasegError(f"limit is {limit}, expected 1 or more images", "leave it out for all of them")
    if pad and size is None:
        raise UdasegError("pad keeps the aspect of images within `size`, and there is no size", "give a size")
    if not labels:
        unread = {
            "coding": coding,
            "label_suffix": label_suffix,
            "missing": missing,
            "skip_unlabelled": skip_unlabelled,
        }
        if given := [option for option, value in {**unread, "depth": depth}.items() if value]:
            raise UdasegError(f"without labels nothing reads {', '.join(given)}", "leave it out, or set labels=True")
        unlabelled = open_images(name, root, split, limit, listed)
        _warn(_left_out(unlabelled))
        return SegmentationDataset(unlabelled, classes, size, pad, False, transform)
    images = open_labelled(
        name, root, split, classes, limit, coding, listed, label_suffix, "label_suffix", skip_unlabelled, missing
    )
    if depth and not images.has_depth:
        raise UdasegError(f"{root}: expected depth for every image of {split}, found none", "; ".join(images.notes))
    _warn([*_left_out(images), *images.warnings])
    return SegmentationDataset(images, classes, size, pad, depth, transform)


def read_label(
    path: str | Path, space: str | Sequence[str] = "cs19", coding: str | Mapping[int, str] | None = None
) -> np.ndarray:
    """Read a label file as train ids: uint8 [H, W], 255 ignored.

    `coding` is the meaning of the ids in the file: "cityscapes", "trainids" of Cityscapes, "synthia", "mapillary-v1.2",
    "mapillary-v2.0", "bdd100k", or a mapping of ids to names. Without it they are the positions of the classes in
    `space`, as in predictions. Ids may be in a channel of RGB, or in 16 bits. Raises UdasegError for a file that is no
    label, and for ids that the coding does not have.
    """
    path, classes = Path(path), class_space(space)
    if coding is None:
        return read_train_ids(path, classes)
    known = _coding(coding)
    ids_HW = read_label_ids(path, known.name, detect_container({path.name: path}, known))
    return _mapped(str(path), ids_HW, known, classes)


def train_ids(
    ids: ArrayOrTensor, coding: str | Mapping[int, str] = "cityscapes", space: str | Sequence[str] = "cs19"
) -> ArrayOrTensor:
    """Map the ids of a dataset, whole numbers from 0 to 255, to train ids: uint8 of the same shape, 255 ignored.

    `coding` and `space` are those of `read_label`. Raises UdasegError for ids that the coding does not have.
    """
    values = to_array("ids", ids)
    if values.dtype.kind not in "iu" or (values.size and not (values.min() >= 0 and values.max() <= 255)):
        raise UdasegError(f"ids is {values.dtype}, expected whole numbers from 0 to 255", "give ids, not colours")
    return match_kind(_mapped("ids", values.astype(np.uint8), _coding(coding), class_space(space)), ids)


def class_counts(dataset: SegmentationDataset) -> np.ndarray:
    """Count the pixels of each class in each label of a dataset, at its own size: int64 [N, C].

    Raises UdasegError for a dataset without labels, and for the first label that cannot be read.
    """
    if not isinstance(dataset.images, LabelledSet):
        raise UdasegError("the dataset has no labels to count, expected one with labels", "open it with labels=True")
    return np.array(list((statistics.class_counts(dataset.images).per_image or {}).values()), np.int64)


def _left_out(images: ImageSet | LabelledSet) -> list[str]:
    names = images.left_out
    return [f"{images.root}, {images.split}: {len(names)} files are left out: {join_names(names)}"] if names else []


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        warnings.warn(text, stacklevel=3)  # where `dataset` is called


def _coding(coding: str | Mapping[int, str]) -> Coding:
    if isinstance(coding, str):
        return find_coding(coding)
    hint = "as in {7: 'road', 26: 'car'}"
    if not isinstance(coding, Mapping):
        raise UdasegError(f"coding is {type(coding).__name__}, expected a name or a mapping of ids to names", hint)
    if not coding or not all(isinstance(i, Integral) and 0 <= i <= 255 for i in coding):
        raise UdasegError(f"coding has the ids {list(coding)[:5]}, expected 0 to 255", hint)
    names = {int(i): name for i, name in coding.items()}
    return Coding("of your own", names, frozenset([*names, IGNORE]))


def _mapped(name: str, ids: np.ndarray, coding: Coding, space: ClassSpace) -> np.ndarray:
    unknown = [i for i in np.unique(ids).tolist() if i not in coding.ids]
    if unknown:
        raise UdasegError(
            f"{name}: expected ids of the coding {coding.name!r}, found {unknown[:5]}", "name the coding of the file"
        )
    return train_id_table(coding, space)[ids]
