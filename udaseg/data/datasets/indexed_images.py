"""The images of a `folder` dataset that an index lists, as numbers of rows: some tens of bytes for each image."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from udaseg.data.datasets.frames import in_numbers
from udaseg.data.datasets.layout import IMAGES
from udaseg.data.datasets.names import safe_stem
from udaseg.data.image_sets import Image
from udaseg.data.places.indexed_path import IndexedPath

_DIGITS = str.maketrans("123456789", "000000000")


class IndexedImages(Sequence[Image]):
    """Images in the order of their stems. `rows` are their rows in the index, `stems` an Arrow array of their stems.

    `folders` lists the folders that are videos, and `frames` has for each image the number of its folder and its own
    in it, int32 [2, n].
    """

    def __init__(self, folder: IndexedPath, rows: np.ndarray, stems: Any, folders: Sequence[str], frames: np.ndarray):
        self._folder, self._rows, self._stems, self._folders, self._frames = folder, rows, stems, folders, frames

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, i: int) -> Image: ...
    @overload
    def __getitem__(self, i: slice) -> "IndexedImages": ...
    def __getitem__(self, i: int | slice) -> "Image | IndexedImages":
        if isinstance(i, slice):
            own = self._rows[i], self._stems.take(np.arange(len(self))[i]), self._folders, self._frames[:, i]
            return IndexedImages(self._folder, *own)
        i = range(len(self))[i]
        folder, frame = self._frames[:, i].tolist()
        path = self._folder.source.root / self._folder.source.index.path(int(self._rows[i]))
        is_frame = self._folders[folder] != ""  # images in no folder are single ones, as in `in_order`
        return Image(self._stems[i].as_py(), path, *((self._folders[folder], frame) if is_frame else ()))


def index_images(folder: IndexedPath) -> tuple[IndexedImages, tuple[str, ...]] | None:
    """Return the images in a folder of an index and its sub-folders, and the names of its other files.

    Stems and frames are those that `choose_stems` and `in_order` give. None where two images have the same name or
    stem: then those say which.
    """
    import pyarrow
    from pyarrow import compute

    rows, names = array("q"), _Names(pyarrow)
    left_out = []
    for row, path in folder.numbered_files():
        name, _, suffix = path.rpartition(".")
        if name.rpartition("/")[2] and f".{suffix.lower()}" in IMAGES:
            rows.append(row)
            names.append(name)
        else:
            left_out.append(path)
    if not rows:
        return None
    whole = names.join()
    bare = compute.replace_substring_regex(whole, "^.*/", "")
    stems = _safe(pyarrow, whole, bare, _repeated(compute, bare))
    if _repeated(compute, stems).any():
        return None
    folders, frames = _number_frames(whole)
    order = compute.sort_indices(stems).to_numpy()
    own = np.frombuffer(rows, np.int64)[order], stems.take(order), folders, frames[:, order]
    return IndexedImages(folder, *own), tuple(left_out)


class _Names:
    """Texts on their way into an Arrow array: a few at a time are Python objects."""

    def __init__(self, arrow: Any):
        self._arrow, self._last, self._chunks = arrow, [], []

    def append(self, name: str) -> None:
        self._last.append(name)
        if len(self._last) == 65536:
            self._flush()

    def join(self) -> Any:
        self._flush()
        return self._arrow.concat_arrays(self._chunks)

    def _flush(self) -> None:
        self._chunks.append(self._arrow.array(self._last, self._arrow.large_string()))
        self._last = []


def _repeated(compute: Any, texts: Any) -> np.ndarray:
    """Return which texts of an Arrow array occur more than once: bool [n]."""
    order = compute.sort_indices(texts)
    ordered = texts.take(order)
    is_next = compute.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    found = np.zeros(len(texts), bool)
    found[order.to_numpy()] = np.append(is_next, False) | np.insert(is_next, 0, False)
    return found


def _safe(arrow: Any, names: Any, bare: Any, is_shared: np.ndarray) -> Any:
    stems = _Names(arrow)
    for start in range(0, len(names), 65536):
        part = slice(start, start + 65536)
        pairs = zip(names[part].to_pylist(), bare[part].to_pylist(), is_shared[part].tolist(), strict=True)
        for name, own, shared in pairs:
            stems.append(safe_stem(name.replace("/", "_") if shared else own))
    return stems.join()


def _number_frames(names: Any) -> tuple[list[str], np.ndarray]:
    """Number the images of each folder as `in_order` does: the folders, and int32 [2, n].

    Names of one folder that differ in digits at the same places alone are in their order already; others are sorted.
    """
    numbers: dict[str, int] = {}
    frames = np.empty((2, len(names)), np.int32)
    counts, shapes, mixed = [], [], set()
    for i, name in enumerate(_texts(names)):
        folder, _, own = name.rpartition("/")
        number = numbers.setdefault(folder, len(numbers))
        shape = own.translate(_DIGITS)
        if number == len(counts):
            counts.append(0)
            shapes.append(shape)
        if shape != shapes[number]:
            mixed.add(number)
        frames[:, i] = number, counts[number]
        counts[number] += 1
    for number in mixed:
        own = np.flatnonzero(frames[0] == number)
        texts = names.take(own).to_pylist()
        for place, i in enumerate(sorted(range(len(own)), key=lambda i: in_numbers(texts[i]))):
            frames[1, own[i]] = place
    return list(numbers), frames


def _texts(texts: Any) -> Iterator[str]:
    for start in range(0, len(texts), 65536):
        yield from texts[start : start + 65536].to_pylist()
