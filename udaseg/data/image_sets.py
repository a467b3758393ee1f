"""Sets of images as lists of paths, with or without labels, and the size at which a network gets them.

A training stage gets its target as an ImageSet. Neither the set nor its records can hold a label, so that no later
mistake can read one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from udaseg.config import HxW
from udaseg.data.augment import size_within
from udaseg.data.images import read
from udaseg.errors import UdasegError
from udaseg.labels import ClassSpace

_UNKNOWN = 254  # not a train id: a class space has at most 254 classes


@dataclass(frozen=True, slots=True)
class Image:
    """One image; its stem is unique in the split, and names all files that are made from it (`choose_stems`)."""

    stem: str
    image: Path


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image with its label file, and its depth file if the dataset has depth."""

    stem: str
    image: Path
    label: Path
    depth: Path | None


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of a split, without their labels."""

    dataset: str
    root: Path
    split: str
    records: tuple[Image, ...]
    left_out: tuple[str, ...] = ()  # the files beside the images that are none

    def __len__(self) -> int:
        return len(self.records)

    def image(self, i: int) -> np.ndarray:
        """Read one image: uint8 RGB [H, W, 3]."""
        return read.read_image(self.records[i].image)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """The images of a split with their labels, and the table from ids on disk to train ids.

    `table` holds the train id of every id, uint8 [256]; `is_known` marks the ids that may occur, bool [256]. `notes`
    describe the detected layout and encoding. With
    `resize_labels` a label of another size than its image is resized to it, as GTA5 needs; otherwise it is an error.
    `read_depth` reads a depth file in centimetres.
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
    left_out: tuple[str, ...] = ()  # the files beside the images that are none

    def __len__(self) -> int:
        return len(self.records)

    @property
    def has_depth(self) -> bool:
        """Return whether every image has a depth file."""
        return all(record.depth is not None for record in self.records)

    def image(self, i: int) -> np.ndarray:
        """Read one image: uint8 RGB [H, W, 3]."""
        return read.read_image(self.records[i].image)

    def label(self, i: int) -> np.ndarray:
        """Read one label as train ids: uint8 [H, W] at the size of its image, 255 ignored.

        Raises UdasegError where the label cannot be decoded, its size differs from the image's, or an id is not in
        the dataset's coding.
        """
        record = self.records[i]
        ids = self._match_size(record, record.label, read.read_label_ids(record.label, self.coding))
        # bytes.translate looks up bytes directly; NumPy would first widen every id to eight bytes.
        lookup = np.where(self.is_known, self.table, _UNKNOWN).astype(np.uint8).tobytes()
        labels = np.frombuffer(bytearray(ids).translate(lookup), np.uint8).reshape(ids.shape)
        if (labels == _UNKNOWN).any():
            unknown = [int(value) for value in np.unique(ids[labels == _UNKNOWN])]
            raise UdasegError(
                f"{record.label}: expected ids of the coding {self.coding!r}, found {unknown}",
                "the labels are in another coding than the one detected, or the file is damaged; "
                f"`udaseg data check {self.root}` shows the ids of every file",
            )
        return labels

    def depth(self, i: int) -> np.ndarray:
        """Read one depth map: uint16 [H, W] in centimetres, at the size of its image.

        Raises UdasegError where the image has no depth file, or its size differs from the image's.
        """
        record = self.records[i]
        if record.depth is None:
            raise UdasegError(
                f"{record.image}: there is no depth for it in {self.root}", "add the depth, or set model.heads=[]"
            )
        return self._match_size(record, record.depth, self.read_depth(record.depth))

    def _match_size(self, record: Labelled, path: Path, values_HW: np.ndarray) -> np.ndarray:
        """Resize a label or depth map to the size of its image; raise UdasegError where the dataset forbids it."""
        size = read.image_size(record.image)
        if values_HW.shape == size:
            return values_HW
        if not self.resize_labels:
            raise UdasegError(
                f"{path}: expected the size of its image, {size[0]}x{size[1]}, found "
                f"{values_HW.shape[0]}x{values_HW.shape[1]}",
                f"the image is {record.image}; `udaseg data check {self.root}` lists every such pair",
            )
        return np.array(Pillow.fromarray(values_HW).resize((size[1], size[0]), Pillow.Resampling.NEAREST))


@dataclass(frozen=True)
class View:
    """A set of images and the size at which a network sees them.

    `size` is (height, width), or None where each image keeps its own. With `pad` an image keeps its aspect within it.
    """

    images: ImageSet | LabelledSet
    size: HxW | None = None
    pad: bool = False

    def size_of(self, shape: tuple[int, ...]) -> HxW:
        """Return the (height, width) at which an image of shape [H, W, ...] is seen."""
        if self.size is None:
            return shape[0], shape[1]
        return size_within(shape, self.size) if self.pad else self.size
