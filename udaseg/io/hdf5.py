"""HDF5 files that tell whether they are whole, and readers that stay inside of them.

HDF5 can sum up all that it stores, and does not by itself: one flipped bit is then another number, another shape, or an
endless loop in the library. Here structure and attributes are in the format of 1.10, which has sums; arrays are one
chunk each, with a sum of their own; and texts have a fixed length, because those of any length are kept in the one
place without sums. Files of other programs are read as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path

import h5py
import numpy as np

from udaseg.errors import UdasegError
from udaseg.io.files import atomic

LARGEST = 1 << 31  # bytes of one array
ZEROS = "zeros"  # the attribute of an array that is 0 everywhere
MAX_COMPRESSION_RATIO = 1100  # times that an array may be larger than what is stored of it: deflate comes to 1032
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError)


@contextmanager
def written(path: Path) -> Iterator[h5py.File]:
    """Give a file to write to, which takes its name when it is whole; the same bytes for the same content.

    Raises OSError where it cannot be written.
    """
    with atomic(path) as temporary:
        with temporary.open("w+b", buffering=0) as raw:
            stream = DeferredErrorFile(raw)
            with h5py.File(stream, "w", libver=("v110", "v110")) as file:
                yield file
        if stream.error is not None:
            raise stream.error


def store(group: h5py.Group, name: str, array: np.ndarray) -> h5py.Dataset:
    """Write an array that is not empty."""
    written = group.create_dataset(name, data=array, chunks=array.shape, fletcher32=True, track_times=False)
    if not array.any():
        written.attrs[ZEROS] = True
    return written


def put_text(attributes: h5py.AttributeManager, key: str, text: str | Sequence[str]) -> None:
    """Write a text, or a list of them, as an attribute in UTF-8."""
    stored = np.char.encode(np.array(text, dtype=str), "utf-8")
    attributes.create(key, stored, dtype=h5py.string_dtype("utf-8", max(1, stored.itemsize)))


class DeferredErrorFile:
    """A file whose first error waits until HDF5 is done: in the middle of its work it would crash the interpreter."""

    def __init__(self, raw: RawIOBase):
        self._raw, self.error = raw, None
        self.read, self.readinto = raw.read, raw.readinto
        self.seek, self.tell, self.flush = raw.seek, raw.tell, raw.flush

    def write(self, data: memoryview) -> int:
        rest = memoryview(data).cast("B")
        try:
            while self.error is None and len(rest):
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int) -> None:
        try:
            self._raw.truncate(size)
        except OSError as error:
            self.error = self.error or error


@contextmanager
def reading(path: Path, what: str, again: str) -> Iterator[None]:
    """Turn everything that a damaged file can raise into a UdasegError; `again` is its hint."""
    try:
        yield
    except FileNotFoundError:
        raise UdasegError(f"{path} does not exist: expected {what}", again) from None
    except DAMAGE as error:
        raise UdasegError(f"cannot read {what} from {path}: {str(error)[:500]}", again) from None


def opened(path: Path) -> h5py.File:
    """Open a file to read. Raises one of DAMAGE where it is none."""
    # Locks fail on many network file systems, and a finished file is never written again.
    return h5py.File(path, "r", locking=False)


def dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """Find an array of numbers that is stored in the file itself. Raises ValueError for anything else.

    Links and outside storage could make us read any other file; some bytes can claim to be terabytes.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"`{name}` is not stored in it")
    found = group[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise ValueError(f"`{name}` is not stored in it")
    if found.dtype.kind not in "fiu" or found.shape is None:
        raise ValueError(f"`{name}` is not an array of numbers")
    if found.nbytes > min(LARGEST, MAX_COMPRESSION_RATIO * found.id.get_storage_size()):
        raise ValueError(f"`{name}` is {list(found.shape)}, {found.nbytes / 2**30:.3g} GiB: too large to be true")
    return found


def array(group: h5py.Group, name: str) -> np.ndarray:
    """Read an array of numbers. Raises one of DAMAGE where it is not one, or not what was written."""
    return values(dataset(group, name))


def values(dataset: h5py.Dataset) -> np.ndarray:
    """Read an array that was found. Raises one of DAMAGE where it is not what was written."""
    array = np.asarray(dataset[()])
    # The sum of zeros is zero, so a stretch of a disk that was lost would be a sound array.
    if dataset.fletcher32 and not array.flat[0] and not array.any() and not dataset.attrs.get(ZEROS, False):
        raise ValueError(f"`{dataset.name}` is all zeros, and was not when it was written")
    return array


def names(attributes: h5py.AttributeManager, key: str) -> tuple[str, ...]:
    """Read a list of names, one or more. Raises one of DAMAGE where it is not one."""
    found = np.asarray(attributes[key])
    listed = found.tolist() if found.ndim == 1 else []
    listed = [name.decode() if isinstance(name, bytes) else name for name in listed]
    if not listed or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"`{key}` is {found.dtype} {list(found.shape)}, expected names")
    return tuple(listed)


def text(attributes: h5py.AttributeManager, key: str) -> str:
    """Read a text. Raises one of DAMAGE where it is not one."""
    found = attributes[key]
    found = found.decode() if isinstance(found, bytes) else found
    if not isinstance(found, str):
        raise ValueError(f"`{key}` is {type(found).__name__}, expected a text")
    return found
