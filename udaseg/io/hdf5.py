"""HDF5 files with checksums, and readers that refuse damaged files and never follow links out of a file.

HDF5 has checksums for all that it stores, but does not use them by default: one flipped bit then gives another number,
another shape, or an endless loop in the library. Here structure and attributes are in the format of 1.10, which has
checksums. Every array is one chunk with a checksum. Texts have a fixed length, because texts of variable length are
stored without a checksum. Files of other programs are read as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path

import h5py
import numpy as np

from udaseg.errors import UdasegError
from udaseg.io.files import atomic

MAX_BYTES = 1 << 31  # of one array
ZEROS = "zeros"  # the attribute of an array that is 0 everywhere
MAX_COMPRESSION_RATIO = 1100  # of an array to its stored bytes: deflate reaches 1032
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError)


@contextmanager
def create(path: Path) -> Iterator[h5py.File]:
    """Open a new file for writing; it gets its name when the block ends without an error.

    Equal content gives equal bytes. Raises OSError where the file cannot be written.
    """
    with atomic(path) as temporary:
        with temporary.open("w+b", buffering=0) as raw:
            stream = DeferredErrorFile(raw)
            with h5py.File(stream, "w", libver=("v110", "v110")) as file:
                yield file
        if stream.error is not None:
            raise stream.error


def write_array(group: h5py.Group, name: str, array: np.ndarray, *, compress: bool = False) -> h5py.Dataset:
    """Write an array that is not empty; with `compress` by deflate, as labels need it."""
    deflate = {"compression": "gzip", "compression_opts": 1} if compress else {}
    dataset = group.create_dataset(name, data=array, chunks=array.shape, fletcher32=True, track_times=False, **deflate)
    if not array.any():
        dataset.attrs[ZEROS] = True
    return dataset


def write_text(attributes: h5py.AttributeManager, key: str, text: str | Sequence[str]) -> None:
    """Write a text, or a list of texts, as an attribute in UTF-8."""
    encoded = np.char.encode(np.array(text, dtype=str), "utf-8")
    attributes.create(key, encoded, dtype=h5py.string_dtype("utf-8", max(1, encoded.itemsize)))


class DeferredErrorFile:
    """A file object that keeps its first error for later: an error inside HDF5 would crash the interpreter."""

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
def open_to_read(path: Path, content: str, hint: str) -> Iterator[h5py.File]:
    """Open a file for reading; `content` names what it should hold.

    Raises UdasegError, with the hint, for a missing file and for every error of a damaged one inside the block.
    """
    with user_errors(path, content, hint), open_file(path) as file:
        yield file


@contextmanager
def user_errors(path: Path, content: str, hint: str) -> Iterator[None]:
    """Raise UdasegError in place of every error that reading a damaged file can raise."""
    try:
        yield
    except FileNotFoundError:
        raise UdasegError(f"{path} does not exist: expected {content}", hint) from None
    except DAMAGE as error:
        problem = str(error)[:500] if type(error) is ValueError else "the file is truncated or damaged"
        raise UdasegError(f"cannot read {content} from {path}: {problem}", hint) from None


def open_file(path: Path) -> h5py.File:
    """Open a file for reading. Raises one of DAMAGE where it is no HDF5 file."""
    # Locks fail on many network file systems, and a finished file is never written again.
    return h5py.File(path, "r", locking=False)


def find_array(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return the dataset of an array of numbers that is stored in the file itself. Raises ValueError for anything else.

    Links and external storage could lead to any other file, and a few bytes can claim to be terabytes.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"`{name}` is not stored in it")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ValueError(f"`{name}` is not stored in it")
    if dataset.dtype.kind not in "fiu" or dataset.shape is None:
        raise ValueError(f"`{name}` is not an array of numbers")
    if dataset.nbytes > min(MAX_BYTES, MAX_COMPRESSION_RATIO * dataset.id.get_storage_size()):
        raise ValueError(f"`{name}` is {list(dataset.shape)}, {dataset.nbytes / 2**30:.3g} GiB: too large to be true")
    return dataset


def read_array(group: h5py.Group, name: str) -> np.ndarray:
    """Read an array of numbers by name. Raises one of DAMAGE where it is missing or damaged."""
    return read_values(find_array(group, name))


def read_values(dataset: h5py.Dataset) -> np.ndarray:
    """Read the values of a dataset from `find_array`. Raises one of DAMAGE where they are damaged."""
    array = np.asarray(dataset[()])
    # The checksum of zeros is zero, so lost blocks of a disk would be a valid array.
    if dataset.fletcher32 and not array.flat[0] and not array.any() and not dataset.attrs.get(ZEROS, False):
        raise ValueError(f"`{dataset.name}` is all zeros, and was not when it was written")
    return array


def read_names(attributes: h5py.AttributeManager, key: str) -> tuple[str, ...]:
    """Read a list of one or more names. Raises one of DAMAGE for anything else."""
    values = np.asarray(attributes[key])
    names = values.tolist() if values.ndim == 1 else []
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"`{key}` is {values.dtype} {list(values.shape)}, expected names")
    return tuple(names)


def read_text(attributes: h5py.AttributeManager, key: str) -> str:
    """Read a text. Raises one of DAMAGE for anything else."""
    text = attributes[key]
    text = text.decode() if isinstance(text, bytes) else text
    if not isinstance(text, str):
        raise ValueError(f"`{key}` is {type(text).__name__}, expected a text")
    return text
