"""The images of a domain at the size at which training sees them, in memory where all of them fit."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from udaseg.data.augment import Before, Pair, fit
from udaseg.data.depth import inverse_depth, is_measured
from udaseg.data.image_sets import ImageSet, View
from udaseg.data.sampling import Shares
from udaseg.data.sources import Sources
from udaseg.data.video.flows import Flows
from udaseg.errors import UdasegError
from udaseg.labels import IGNORE

CACHE_BYTES = 1 << 30
ReadBefore = Callable[[str], Before]  # from the stem of an image to the frame before it
ReadDepth = Callable[[str], np.ndarray]  # from the stem of an image to its depth, float32 [H, W], 0 where unknown


def cached_bytes(count: int, size: tuple[int, int] | None, pixel: int = 4, workers: int = 0) -> int:
    """Return the memory that the cached samples take, `pixel` bytes a pixel; 0 where they are too large to cache.

    Each process that loads has a cache of its own.
    """
    needed = 0 if size is None else count * size[0] * size[1] * pixel * max(1, workers)
    return needed if needed <= CACHE_BYTES else 0


class Samples:
    """The images of one domain at their training size, cached in memory where all of them fit.

    `read(i)` returns image i and its label at their own sizes. `labels` is false for a set without labels, whose
    labels are 255 alone. With `pad` images keep their aspect within the size. Those of several sources have `shares`,
    and `missing`, bool [sources, C], marks the classes that the labels of a source cannot have.
    """

    def __init__(
        self,
        read: Callable[[int], Pair],
        count: int,
        size: tuple[int, int] | None,
        labels: bool = True,
        pad: bool = False,
        pixel: int = 4,  # bytes of one in the cache
        shares: Shares | None = None,
        missing: np.ndarray | None = None,
    ):
        self._read, self._count, self.size, self.labels, self._pad = read, count, size, labels, pad
        self.shares, self.missing = shares, missing
        self._pixel, self._cache = pixel, dict[int, Pair]()
        self.set_workers(0)

    def __len__(self) -> int:
        return self._count

    def set_workers(self, workers: int) -> None:
        """Decide whether all samples fit in memory when this many processes load them."""
        self._has_cache = cached_bytes(self._count, self.size, self._pixel, workers) > 0

    def __getitem__(self, index: int) -> Pair:
        if index in self._cache:
            return self._cache[index]
        pair = self.read_anew(index)
        if self._has_cache:
            self._cache[index] = pair
        return pair

    def read_anew(self, index: int) -> Pair:
        """Read an image and its label at their size in training, past the cache."""
        pair = self._read(index)
        return pair if self.size is None else fit(pair, self.size, self._pad)


def labelled(view: View) -> Samples:
    """Return the samples of a labelled set, or of several sources: images with their labels."""
    images = view.images
    if isinstance(images, Sources):
        missing_SC = images.missing if images.missing.any() else None
        return _join([labelled(part) for part in images.views], images.shares, missing_SC)
    return Samples(lambda i: Pair(images.image(i), images.label(i)), len(images), view.size, pad=view.pad)


def _join(parts: Sequence[Samples], shares: Shares, missing_SC: np.ndarray | None) -> Samples:
    """Return the samples of several sets as one list. They are cached where all have one size, and fit."""

    def read(index: int) -> Pair:
        place, own = shares.locate(index)
        return parts[place].read_anew(own)

    sizes = {part.size for part in parts}
    size = sizes.pop() if len(sizes) == 1 else None
    return Samples(read, sum(map(len, parts)), size, shares=shares, missing=missing_SC)


def with_depth(view: View, mask_invalid: bool = True) -> Samples:
    """Return the samples of a labelled set with depth; `mask_invalid` drops values that are no measurement."""
    images = view.images

    def read(i: int) -> Pair:
        label_HW, cm_HW = images.label(i), images.depth(i)
        known_HW = is_measured(cm_HW, label_HW, images.space.classes) if mask_invalid else np.ones(cm_HW.shape, bool)
        return Pair(images.image(i), label_HW, depth=np.where(known_HW, inverse_depth(cm_HW), np.float32(0)))

    return Samples(read, len(images), view.size, pad=view.pad, pixel=8)


def pseudo_labelled(
    view: View,
    label: Callable[[str], np.ndarray],
    before: ReadBefore | None = None,
    depth: ReadDepth | None = None,
) -> Samples:
    """Return the samples of a set with labels of another source: `label(stem)` gives uint8 train ids [H, W].

    `before(stem)` gives the frame before an image, `depth(stem)` its depth.
    """
    images = view.images

    def read(i: int) -> Pair:
        stem = images.records[i].stem
        return Pair(images.image(i), label(stem), before=_read(before, images, i), depth=_read(depth, images, i))

    return Samples(read, len(images), view.size, pad=view.pad, pixel=_bytes_of(before, depth))


def unlabelled(view: View, before: ReadBefore | None = None, depth: ReadDepth | None = None) -> Samples:
    """Return the samples of a set without labels; its batches hold images, the frames before them, and depth alone."""
    images = view.images

    def read(i: int) -> Pair:
        image_HWC = images.image(i)
        label_HW = np.full(image_HWC.shape[:2], IGNORE, np.uint8)
        return Pair(image_HWC, label_HW, before=_read(before, images, i), depth=_read(depth, images, i))

    return Samples(read, len(images), view.size, labels=False, pad=view.pad, pixel=_bytes_of(before, depth))


def _read(read: Callable[[str], Any] | None, images: ImageSet, i: int) -> Any:
    """Read what lies beside an image, for those who want it."""
    return None if read is None else read(images.records[i].stem)


def _bytes_of(before: ReadBefore | None, depth: ReadDepth | None) -> int:
    """Return the bytes of a pixel in the cache: of image and label, of the frame before and the flow, of depth."""
    return 4 + (0 if before is None else 11) + (0 if depth is None else 4)


def frames_before(images: ImageSet, flows: Flows) -> tuple[ImageSet, ReadBefore]:
    """Return the images of a set that have a frame before them in it, and the function that reads that frame.

    Raises UdasegError where no image has one.
    """
    index = {record.stem: i for i, record in enumerate(images.records)}
    found = [stem for stem in index if flows.previous.get(stem) in index]
    if not found:
        raise UdasegError(
            f"{flows.folder}: expected the optical flow of some of {len(images)} images in {images.split} of "
            f"{images.root} to another one of them, found none",
            "compute the flow of these images: udaseg flow",
        )

    def read(stem: str) -> Before:
        image_HWC = images.image(index[flows.previous[stem]])
        flow_2HW, valid_HW = flows.read(stem, image_HWC.shape[:2])
        return Before(image_HWC, np.where(valid_HW, flow_2HW, np.float32(np.nan)))

    return images.choose(found), read
