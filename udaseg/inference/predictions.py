"""The file predictions.h5: what is stored of the network's output for every target image.

`/logits/<stem>` is float16 [C, h, w] at the network's stride, with the attributes `height` and `width` of the labels;
the root has `classes` (names) and `align_corners` (how to upsample). 1.2 MB an image at 1024x2048 and 19 classes, where
the probabilities take 159 MB, and upsampling them gives the same pseudo-labels but for 2e-4 of the pixels.

With `predict.store=confidence` the file has `/confidence/<stem>` in their place: a label and a confidence of 8 bits at
each point of a grid twice as fine, uint8 [2, 2h-1, 2w-1], as `stored_confidence` describes them.
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
from udaseg.inference import confidence, stored_confidence
from udaseg.io import hdf5
from udaseg.io.files import atomic
from udaseg.labels import IGNORE
from udaseg.parallel import processes

FILE, PARTS = "predictions.h5", "parts"  # the file, and the folder of its images while it is written
_AGAIN = "write it again: udaseg predict --force"
_EXPONENT = np.uint16(0x7C00)  # all ones in float16: infinite or NaN
_LARGEST_SIDE = 65535
LOGITS, CONFIDENCE = "logits", "confidence"  # the values of `predict.store` that store something; names of groups


def _layout(store: str, classes: int) -> tuple[np.dtype, int]:
    """Return the dtype and the first dimension of the arrays of a store."""
    return (np.dtype(np.float16), classes) if store == LOGITS else (np.dtype(np.uint8), 2)


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

    path; store (logits or confidence); classes (names); align_corners; stems (sorted). Raises UdasegError for a file
    that is no HDF5, that lacks something, or whose stems could lead out of a directory.
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
        self.store = CONFIDENCE if CONFIDENCE in self._file else LOGITS
        group, attributes = self._file.get(self.store), self._file.attrs
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
        dataset, (dtype, planes) = hdf5.find_array(self._file[self.store], stem), _layout(self.store, len(self.classes))
        if dataset.dtype != dtype or dataset.ndim != 3 or len(dataset) != planes or not dataset.size:
            raise self._wrong(
                f"/{self.store}/{stem} is {dataset.dtype} {list(dataset.shape)}, expected {dtype} [{planes}, h, w]"
            )
        return dataset

    def values(self, stem: str) -> np.ndarray:
        """Return what is stored of an image: its logits, or the label and the confidence of a finer grid.

        Raises UdasegError for logits that are not finite, and for labels of no class.
        """
        with self._readable():
            values_CHW = hdf5.read_values(self._dataset(stem))
        if self.store == LOGITS and not _all_finite(values_CHW):
            raise self._wrong(f"/logits/{stem} holds NaN or infinite values: the network had diverged")
        if self.store == CONFIDENCE and values_CHW[0].max() >= len(self.classes):
            raise self._wrong(f"/confidence/{stem} has labels above {len(self.classes) - 1}, which are no classes")
        return values_CHW

    def logits(self, stem: str) -> np.ndarray:
        """Return the logits of an image, float16 [C, h, w], all finite. Raises UdasegError where they are not so."""
        self.require_logits("this")
        return self.values(stem)

    def require_logits(self, reader: str) -> None:
        """Raise UdasegError, naming what reads them, where the file has no logits."""
        if self.store != LOGITS:
            raise UdasegError(
                f"{self.path} holds labels and confidences alone (predict.store={self.store}), and {reader} needs the "
                "logits of all classes",
                "predict again, and store them: udaseg predict --store logits",
            )

    def label_and_confidence(self, stem: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of every pixel, uint8 [H, W], and its confidence, float32 [H, W], from either store.

        The size is that of the image's labels without another. From logits it is exact; see `stored_confidence`.
        """
        height, width = size or self.size(stem)
        if self.store == LOGITS:
            return confidence.label_and_confidence(self.values(stem), height, width, self.align_corners)
        return stored_confidence.expand(self.values(stem), height, width, self.align_corners, len(self.classes))

    def label(self, stem: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return only the label of `label_and_confidence`, uint8 [H, W]."""
        if self.store == LOGITS:
            return confidence.argmax_label(self.values(stem), *(size or self.size(stem)), self.align_corners)
        return self.label_and_confidence(stem, size)[0]

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
            sides = f"`height` and `width`, integers from 1 to {_LARGEST_SIDE}"
            raise self._wrong(f"/{self.store}/{stem} lacks its {sides}")
        return int(size[0]), int(size[1])


class PredictionsWriter:
    """Write `folder/predictions.h5`, an image at a time; a context manager, whose good end puts the file there.

    A killed process can leave an HDF5 file that cannot be opened, so until the end every image is a file of its own
    in `folder/parts`, there in one piece or not at all. A second writer in the same folder goes on where the first
    one was stopped, and several processes may write parts at once. The bytes of predictions.h5 depend on its content
    alone, neither on the time nor on the order.
    """

    def __init__(self, folder: Path, classes: Sequence[str], align_corners: bool, store: str = LOGITS):
        self.path = folder / FILE
        self._parts = folder / PARTS
        self._classes = tuple(classes)
        self._align_corners = bool(align_corners)
        self._store, self._layout = store, _layout(store, len(self._classes))
        self._finished = frozenset()
        if self.path.exists():
            with Predictions(self.path) as before:
                facts = before.classes, before.align_corners, before.store
                if facts != (self._classes, self._align_corners, self._store):
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

    def put_logits(self, stem: str, logits_CHW: np.ndarray, height: int, width: int) -> None:
        """Write what the store holds of the logits of an image, float16 [C, h, w], whose labels are height x width."""
        self.put(stem, logits_CHW if self._store == LOGITS else stored_confidence.compress(logits_CHW), height, width)

    def put(self, stem: str, values_CHW: np.ndarray, height: int, width: int) -> None:
        """Write the values of an image, those that `Predictions.values` returns; its labels are height x width.

        Raises UdasegError for another shape or dtype, for values that are not finite, and for a stem that is no name.
        """
        if not _is_stem(stem):
            raise UdasegError(f"{stem!r} cannot be the name of an image", "use the file name without its extension")
        shape, (dtype, planes) = values_CHW.shape, self._layout
        if values_CHW.dtype != dtype or len(shape) != 3 or shape[0] != planes or 0 in shape:
            raise UdasegError(
                f"the {self._store} of {stem} are {values_CHW.dtype} {list(shape)}, expected {dtype} [{planes}, h, w]",
                "put the logits of one image, classes first, as float16",
            )
        if not _is_size(height, width):
            raise UdasegError(
                f"{stem} is {height}x{width}; sides are from 1 to {_LARGEST_SIDE}", "remove this image, or resize it"
            )
        values_CHW = np.ascontiguousarray(values_CHW)
        if self._store == LOGITS and not _all_finite(values_CHW):
            raise UdasegError(f"the logits of {stem} are not finite", "the network has diverged: train it again")
        with atomic(self._parts / f"{stem}.part", sync=False) as temporary, temporary.open("wb") as file:
            file.write(np.array([*shape, height, width], np.int64).tobytes())
            file.write(values_CHW.data)

    def _part(self, stem: str) -> tuple[np.ndarray, int, int] | None:
        """Return the values, height and width of a part; None where it is absent or not whole (after a power cut)."""
        try:
            content = (self._parts / f"{stem}.part").read_bytes()
        except FileNotFoundError:
            return None
        if len(content) < 40:
            return None
        *shape, height, width = np.frombuffer(content, np.int64, 5).tolist()
        dtype, planes = self._layout
        if shape[0] != planes or len(content) != 40 + dtype.itemsize * shape[0] * shape[1] * shape[2]:
            return None
        return np.frombuffer(content, dtype, offset=40).reshape(shape), height, width

    def _assemble(self) -> None:
        """Write all images to one file, and give it its name when it is whole."""
        written = {part.name.removesuffix(".part") for part in self._parts.glob("[!.]*.part")}
        if not written and self.path.exists():
            return
        earlier = Predictions(self.path) if self.path.exists() else nullcontext()
        with earlier as before, hdf5.create(self.path) as file:
            hdf5.write_text(file.attrs, "classes", self._classes)
            file.attrs["align_corners"] = self._align_corners
            group = file.create_group(self._store)
            for stem in sorted(written | self._finished):
                part = self._part(stem)
                if part is None and before is not None and stem in self._finished:
                    part = before.values(stem), *before.size(stem)
                if part is None:
                    raise UdasegError(f"{self._parts / stem}.part is damaged", _AGAIN)
                dataset = hdf5.write_array(group, stem, part[0], compress=self._store == CONFIDENCE)
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
        writer = PredictionsWriter(partial, before.classes, before.align_corners, before.store)
        (partial / PARTS).mkdir(parents=True, exist_ok=True)
        for stem in kept.intersection(before.stems):
            writer.put(stem, before.values(stem), *before.size(stem))
    (partial / FILE).unlink(missing_ok=True)
