"""The file predictions.h5: the logits of every target image, at the network's stride, in half precision.

`/logits/<stem>` is float16 [C, h, w] with the attributes `height` and `width` of the labels; the root has `classes`
(names) and `align_corners` (how to upsample). 1.2 MB an image at 1024x2048 and 19 classes, where the probabilities
take 159 MB, and upsampling them gives the same pseudo-labels but for 2e-4 of the pixels.
"""

import os
import re
import shutil
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import h5py
import numpy as np

from udaseg.data.datasets.names import LONGEST_STEM
from udaseg.errors import UdasegError
from udaseg.io import hdf5
from udaseg.io.files import atomic
from udaseg.labels import IGNORE
from udaseg.parallel import processes

FILE, PARTS = "predictions.h5", "parts"  # the file, and the folder of its images while it is written
_AGAIN = "write it again: udaseg predict --force"
_EXPONENT = np.uint16(0x7C00)  # all ones in float16: infinite or NaN
_LARGEST_SIDE = 65535


def _is_stem(stem: str) -> bool:
    """Tell whether a name can become a file name: stems are joined to directories, and must not lead out of them."""
    return (
        bool(re.fullmatch(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*", stem)) and len(os.fsencode(stem)) <= LONGEST_STEM
    )


def _is_size(height: int, width: int) -> bool:
    return 1 <= height <= _LARGEST_SIDE and 1 <= width <= _LARGEST_SIDE


def _all_finite(logits_CHW: np.ndarray) -> bool:
    return not np.any(logits_CHW.view(np.uint16) & _EXPONENT == _EXPONENT)


class Predictions:
    """Read a predictions.h5; a context manager, safe to read from several threads.

    path; classes (names); align_corners; stems (sorted). Raises UdasegError for a file that is no HDF5, that lacks
    something, or whose stems could lead out of a directory.
    """

    def __init__(self, path: Path):
        self.path = path
        self._sizes: dict[str, tuple[int, int]] = {}
        with self._readable():
            self._file = hdf5.open_file(path)
        try:
            with self._readable():
                self._open()
        except UdasegError:
            self._file.close()
            raise

    def _open(self) -> None:
        group, attributes = self._file.get("logits"), self._file.attrs
        if not isinstance(group, h5py.Group) or not {"classes", "align_corners"} <= set(attributes):
            raise self._wrong("expected a group `logits` and the attributes `classes` and `align_corners`")
        self.classes = hdf5.read_names(attributes, "classes")
        align_corners = np.asarray(attributes["align_corners"])
        if len(self.classes) >= IGNORE:
            raise self._wrong(f"`classes` are {len(self.classes)}, expected 1 to {IGNORE - 1} names")
        if align_corners.shape != () or align_corners.dtype.kind not in "biu":
            raise self._wrong("`align_corners` is not true or false")
        self.align_corners = bool(align_corners)
        self.stems = tuple(sorted(group))
        self._known = frozenset(self.stems)
        for stem in self.stems:
            if not _is_stem(stem):
                raise self._wrong(f"{stem!r} is not the name of an image")

    def __contains__(self, stem: str) -> bool:
        return stem in self._known

    def __enter__(self) -> "Predictions":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def _readable(self) -> AbstractContextManager[None]:
        return hdf5.user_errors(self.path, "predictions", _AGAIN)

    def _wrong(self, what: str) -> UdasegError:
        return UdasegError(f"{self.path} is not a file of predictions: {what}", _AGAIN)

    def _dataset(self, stem: str) -> h5py.Dataset:
        if stem not in self._known:
            raise UdasegError(f"{self.path} has no prediction for {stem!r}", "predict the images that are to be used")
        dataset = hdf5.find_array(self._file["logits"], stem)
        if dataset.dtype != np.float16 or dataset.ndim != 3 or len(dataset) != len(self.classes) or not dataset.size:
            raise self._wrong(
                f"/logits/{stem} is {dataset.dtype} {list(dataset.shape)}, expected float16 [{len(self.classes)}, h, w]"
            )
        return dataset

    def logits(self, stem: str) -> np.ndarray:
        """Return the logits of an image, float16 [C, h, w], all finite. Raises UdasegError where they are not so."""
        with self._readable():
            logits_CHW = hdf5.read_values(self._dataset(stem))
        if not _all_finite(logits_CHW):
            raise self._wrong(f"/logits/{stem} holds NaN or infinite values: the network had diverged")
        return logits_CHW

    def size(self, stem: str) -> tuple[int, int]:
        """Return the (height, width) of the labels of an image."""
        if stem not in self._sizes:
            self._sizes[stem] = self._size(stem)
        return self._sizes[stem]

    def _size(self, stem: str) -> tuple[int, int]:
        with self._readable():
            attributes = self._dataset(stem).attrs
            size = tuple(np.asarray(attributes.get(name, 0)) for name in ("height", "width"))
        if any(side.shape != () or side.dtype.kind not in "iu" for side in size) or not _is_size(*map(int, size)):
            raise self._wrong(f"/logits/{stem} lacks its `height` and `width`, integers from 1 to {_LARGEST_SIDE}")
        return int(size[0]), int(size[1])


class PredictionsWriter:
    """Write `folder/predictions.h5`, an image at a time; a context manager, whose good end puts the file there.

    A killed process can leave an HDF5 file that cannot be opened, so until the end every image is a file of its own
    in `folder/parts`, there in one piece or not at all. A second writer in the same folder goes on where the first
    one was stopped, and several processes may write parts at once. The bytes of predictions.h5 depend on its content
    alone, neither on the time nor on the order.
    """

    def __init__(self, folder: Path, classes: Sequence[str], align_corners: bool):
        self.path = folder / FILE
        self._parts = folder / PARTS
        self._classes = tuple(classes)
        self._align_corners = bool(align_corners)
        self._finished = frozenset()
        if self.path.exists():
            with Predictions(self.path) as before:
                if (before.classes, before.align_corners) != (self._classes, self._align_corners):
                    raise UdasegError(f"{self.path} is of another model", "remove it, or write to another folder")
                self._finished = frozenset(before.stems)

    def __enter__(self) -> "PredictionsWriter":
        self._parts.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind, *exception) -> None:
        if kind is None:
            processes.barrier()
            if processes.is_first():
                self._assemble()
                shutil.rmtree(self._parts)

    def holds(self, stem: str) -> bool:
        """Tell whether an image has been written, by this writer or by one before it."""
        return stem in self._finished or self._part(stem) is not None

    def put(self, stem: str, logits_CHW: np.ndarray, height: int, width: int) -> None:
        """Write the logits of an image, float16 [C, h, w], whose labels are height x width.

        Raises UdasegError for another shape or dtype, for values that are not finite, and for a stem that is no name.
        """
        if not _is_stem(stem):
            raise UdasegError(f"{stem!r} cannot be the name of an image", "use the file name without its extension")
        shape = logits_CHW.shape
        if logits_CHW.dtype != np.float16 or len(shape) != 3 or shape[0] != len(self._classes) or 0 in shape:
            raise UdasegError(
                f"the logits of {stem} are {logits_CHW.dtype} {list(shape)}, "
                f"expected float16 [{len(self._classes)}, h, w]",
                "put the logits of one image, classes first, as float16",
            )
        if not _is_size(height, width):
            raise UdasegError(
                f"{stem} is {height}x{width}; sides are from 1 to {_LARGEST_SIDE}", "remove this image, or resize it"
            )
        logits_CHW = np.ascontiguousarray(logits_CHW)
        if not _all_finite(logits_CHW):
            raise UdasegError(f"the logits of {stem} are not finite", "the network has diverged: train it again")
        with atomic(self._parts / f"{stem}.part", sync=False) as temporary, temporary.open("wb") as file:
            file.write(np.array([*shape, height, width], np.int64).tobytes())
            file.write(logits_CHW.data)

    def _part(self, stem: str) -> tuple[np.ndarray, int, int] | None:
        """Return the logits, height and width of a part; None where it is absent or not whole (after a power cut)."""
        try:
            content = (self._parts / f"{stem}.part").read_bytes()
        except FileNotFoundError:
            return None
        if len(content) < 40:
            return None
        *shape, height, width = np.frombuffer(content, np.int64, 5).tolist()
        if shape[0] != len(self._classes) or len(content) != 40 + 2 * shape[0] * shape[1] * shape[2]:
            return None
        return np.frombuffer(content, np.float16, offset=40).reshape(shape), height, width

    def _assemble(self) -> None:
        """Write all images to one file, and give it its name when it is whole."""
        written = {part.name.removesuffix(".part") for part in self._parts.glob("[!.]*.part")}
        if not written and self.path.exists():
            return
        earlier = Predictions(self.path) if self.path.exists() else nullcontext()
        with earlier as before, hdf5.create(self.path) as file:
            hdf5.write_text(file.attrs, "classes", self._classes)
            file.attrs["align_corners"] = self._align_corners
            group = file.create_group("logits")
            for stem in sorted(written | self._finished):
                part = self._part(stem)
                if part is None and before is not None and stem in self._finished:
                    part = before.logits(stem), *before.size(stem)
                if part is None:
                    raise UdasegError(f"{self._parts / stem}.part is damaged", _AGAIN)
                dataset = hdf5.write_array(group, stem, part[0])
                dataset.attrs["height"], dataset.attrs["width"] = part[1:]


def keep_predictions(folder: Path, partial: Path, stems: Collection[str]) -> None:
    """Leave the predictions of these images alone in `partial`, taken from `folder`, which may be the same directory.

    A `PredictionsWriter` in `partial` then goes on with the others.
    """
    kept, file = frozenset(stems), folder / FILE
    if folder == partial:
        for part in (partial / PARTS).glob("*.part"):
            if part.name.removesuffix(".part") not in kept:
                part.unlink()
    if not file.exists():
        return
    with Predictions(file) as before:
        if folder == partial and kept.issuperset(before.stems):
            return
        writer = PredictionsWriter(partial, before.classes, before.align_corners)
        (partial / PARTS).mkdir(parents=True, exist_ok=True)
        for stem in kept.intersection(before.stems):
            writer.put(stem, before.logits(stem), *before.size(stem))
    (partial / FILE).unlink(missing_ok=True)
