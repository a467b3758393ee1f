"""Sets of images as lists of paths, with or without labels, and the size at which a network gets them.

A training stage gets its target as an ImageSet. Neither the set nor its records can hold a label, so that no later
mistake can read one.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from udaseg.config import HxW
from udaseg.data.augment import size_within
from udaseg.data.findings import check_command
from udaseg.data.images import read
from udaseg.data.images.label_pixels import IDS, Container
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace

_UNKNOWN = 254  # not a train id: a class space has at most 254 classes


@dataclass(frozen=True, slots=True)
class Image:
    """One image; its stem is unique in the split, and names all files that are made from it (`choose_stems`).

    Where the dataset has videos, the image is frame `frame` of the video `sequence`.
    """

    stem: str
    image: Path
    sequence: str = ""
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image with its label file, and its depth file if the dataset has depth."""

    stem: str
    image: Path
    label: Path
    depth: Path | None


def _read_image(record: Labelled) -> np.ndarray:
    return read.read_image(record.image)


def _read_size(record: Labelled) -> HxW:
    return read.image_size(record.image)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of a split, without their labels."""

    dataset: str
    root: Path
    split: str
    records: Sequence[Image]
    left_out: tuple[str, ...] = ()  # the files beside the images that are none

    def __len__(self) -> int:
        return len(self.records)

    def image(self, i: int) -> np.ndarray:
        """Read one image: uint8 RGB [H, W, 3]."""
        return read.read_image(self.records[i].image)

    def choose(self, stems: Collection[str]) -> "ImageSet":
        """Return the images with these stems, as a set."""
        chosen = frozenset(stems)
        return replace(self, records=tuple(record for record in self.records if record.stem in chosen))


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """The images of a split with their labels, and the table from ids on disk to train ids.

    `table` holds the train id of every id, uint8 [256]; `is_known` marks the ids that may occur, bool [256]. `notes`
    describe the detected layout and encoding; `warnings` tell the user what is left out or has no label. With
    `resize_labels` a label of another aspect than its image is resized to it, as GTA5 needs; otherwise it is an error.
    `read_depth` reads a depth file in centimetres. `container` is how the label files carry the ids. `read_image` and
    `read_size` read the image of a record, which may be a frame of a video. `coding_option` is the flag that names the
    coding of labels that belong to no dataset, for messages.
    """

    dataset: str
    root: Path
    split: str
    space: ClassSpace
    records: tuple[Labelled, ...]
    coding: str
    table: np.ndarray
    is_known: np.ndarray
    notes: tuple[str, ...]
    resize_labels: bool = False
    read_depth: Callable[[Path], np.ndarray] = read.read_depth
    container: Container = IDS
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # the files beside the images that are none
    read_image: Callable[[Labelled], np.ndarray] = _read_image
    read_size: Callable[[Labelled], HxW] = _read_size
    coding_option: str | None = None

    def __len__(self) -> int:
        return len(self.records)

    @property
    def has_depth(self) -> bool:
        """Return whether every image has a depth file."""
        return all(record.depth is not None for record in self.records)

    def image(self, i: int) -> np.ndarray:
        """Read one image: uint8 RGB [H, W, 3]."""
        return self.read_image(self.records[i])

    def choose(self, stems: Collection[str]) -> "LabelledSet":
        """Return the images with these stems, as a set."""
        chosen = frozenset(stems)
        return replace(self, records=tuple(record for record in self.records if record.stem in chosen))

    @property
    def meaning(self) -> bytes:
        """Return what the label files mean: their bytes and these give the same labels, always."""
        how = "" if self.container.reading == "ids" else repr((self.container.reading, self.container.colours))
        return self.table.tobytes() + how.encode()

    def label(self, i: int) -> np.ndarray:
        """Read one label as train ids: uint8 [H, W] at the size of its image, 255 ignored.

        A label of another size than its image is resized, nearest. Raises UdasegError where the label cannot be
        decoded, its aspect differs from the image's, or an id is not in the dataset's coding.
        """
        return self._match_size(self.records[i], self.records[i].label, self._train_ids(i))

    def full_label(self, i: int) -> np.ndarray:
        """Read one label as train ids, uint8 [H, W] at its own size, to score predictions; raise as `label` does."""
        labels = self._train_ids(i)
        self._require_aspect(self.records[i], self.records[i].label, labels.shape)
        return labels

    def _train_ids(self, i: int) -> np.ndarray:
        record = self.records[i]
        ids = read.read_label_ids(record.label, self.coding, self.container)
        # bytes.translate looks up bytes directly; NumPy would first widen every id to eight bytes.
        lookup = np.where(self.is_known, self.table, _UNKNOWN).astype(np.uint8).tobytes()
        labels = np.frombuffer(bytearray(ids).translate(lookup), np.uint8).reshape(ids.shape)
        if (labels == _UNKNOWN).any():
            unknown = [int(value) for value in np.unique(ids[labels == _UNKNOWN])]
            raise UdasegError(
                f"{record.label}: expected ids of the coding {self.coding!r}, found {unknown}", self._hint_of_ids()
            )
        return labels

    def _hint_of_ids(self) -> str:
        if self.coding_option is not None:
            return f"name the coding of the labels with {self.coding_option}, or replace the file if it is damaged"
        return (
            "the labels are in another coding than the one detected, or the file is damaged; "
            f"{check_command(self.root)} shows the ids of every file"
        )

    def depth(self, i: int) -> np.ndarray:
        """Read one depth map: uint16 [H, W] in centimetres, at the size of its image, resized as labels are.

        Raises UdasegError where the image has no depth file, or its aspect differs from the image's.
        """
        record = self.records[i]
        if record.depth is None:
            raise UdasegError(
                f"{record.image}: there is no depth for it in {self.root}", "add the depth, or set model.heads=[]"
            )
        return self._match_size(record, record.depth, self.read_depth(record.depth))

    def _match_size(self, record: Labelled, path: Path, values_HW: np.ndarray) -> np.ndarray:
        """Resize a label or depth map to the size of its image, nearest."""
        size = self._require_aspect(record, path, values_HW.shape)
        if values_HW.shape == size:
            return values_HW
        return np.array(Pillow.fromarray(values_HW).resize((size[1], size[0]), Pillow.Resampling.NEAREST))

    def _require_aspect(self, record: Labelled, path: Path, shape: tuple[int, ...]) -> HxW:
        """Return the size of an image; raise UdasegError where a file of it has another aspect, and may not."""
        size = self.read_size(record)
        if not self.resize_labels and not have_same_aspect(shape, size):
            is_loose = self.coding_option is not None
            way = (
                "replace the label, or take it out" if is_loose else f"{check_command(self.root)} lists every such pair"
            )
            raise UdasegError(
                f"{path}: expected the aspect of its image, {size[0]}x{size[1]}, found {shape[0]}x{shape[1]}",
                f"the image is {record.image}; {way}",
            )
        return size


def subset_count(images: int, fraction: float) -> int:
    """Return how many images a fraction of them is: rounded down, and at least one."""
    return max(1, math.floor(images * Fraction(repr(float(fraction)))))


def have_same_aspect(shape: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Return whether one size (height, width) is the other, scaled and rounded to whole pixels."""
    (height, width), (larger_height, larger_width) = sorted((tuple(shape[:2]), tuple(size[:2])), key=math.prod)
    if height >= larger_height or width >= larger_width:  # one side is equal: the same size, or a part cut off
        return (height, width) == (larger_height, larger_width)
    by_width = abs(larger_height * width / larger_width - height)
    by_height = abs(larger_width * height / larger_height - width)
    return min(by_width, by_height) < 1


@dataclass(frozen=True)
class View:
    """A set of images and the size at which a network sees them.

    `size` is (height, width), or None where each image keeps its own. With `pad` an image keeps its aspect within it.
    The sizes of several sources stand with these (see `sources`).
    """

    images: ImageSet | LabelledSet
    size: HxW | None = None
    pad: bool = False

    def size_of(self, shape: tuple[int, ...]) -> HxW:
        """Return the (height, width) at which an image of shape [H, W, ...] is seen."""
        if self.size is None:
            return shape[0], shape[1]
        return size_within(shape, self.size) if self.pad else self.size
