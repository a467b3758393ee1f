"""Paths of files that an index lists: what the datasets ask of a path, answered without asking the store."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from udaseg.data.places.index_file import IndexFile
from udaseg.data.places.parquet_cells import Cells
from udaseg.data.places.row import Row
from udaseg.data.places.store import AbsentObjectError, open_store, version_of
from udaseg.errors import UdasegError
from udaseg.io.addresses import index_command

_CACHED = 32  # files that were read last: an image is asked for its size after its pixels
_AFTER_SLASH = "0"  # the character after a slash


class Source:
    """An address and its index. Threads may read its files at once."""

    def __init__(self, address: str, index: Path):
        self.address = address
        self.index = IndexFile(index)
        self.root = IndexedPath(self)
        self._store = open_store(address)
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.data = index.parents[2]  # the data directory: the index lies in index/<name>/ there
        again = index_command(address, self.data, "--force")
        self._hint = f"list it again, and what was made of what has changed is made again: {again}"
        self._cells = Cells(self._store, self._hint)

    def read(self, row: Row) -> bytes:
        """Read a file; raise UdasegError where it is not there, or not what the index says."""
        with self._lock:
            data = self._cache.get(row.path)
        if data is None:
            data = self._fetch(row)
            self._verify(row, data)
            with self._lock:
                self._cache[row.path] = data
                if len(self._cache) > _CACHED:
                    self._cache.popitem(last=False)
        return data

    def _fetch(self, row: Row) -> bytes:
        try:
            if row.column is not None:
                return self._cells.read(row.shard, row.column, row.offset)
            if row.shard is not None:
                return self._store.read(row.shard, row.offset, row.offset + row.size)
            return self._store.read(row.path)
        except AbsentObjectError:
            raise UdasegError(
                f"{self.address}/{row.path}: expected {row.size} bytes of {row.object}, found no such object",
                self._hint,
            ) from None

    def _verify(self, row: Row, data: bytes) -> None:
        expected, found = f"{row.size} bytes", f"{len(data)} bytes"
        if len(data) == row.size:
            if row.digest is not None:
                expected, found = row.digest, hashlib.blake2b(data, digest_size=16).hexdigest()
            else:
                # The ETag of an object that was written in one piece is its MD5, in most stores.
                expected = row.etag or ""
                found = hashlib.md5(data, usedforsecurity=False).hexdigest()
                if found != expected:
                    found = version_of(self._store.status(row.object)) or ""
        if found != expected:
            raise UdasegError(
                f"{self.address}/{row.path}: expected the content of the index, {expected}, found {found}: "
                f"{row.object} has changed since it was listed",
                self._hint,
            )


class Entry(NamedTuple):
    """A file or a folder in a folder, as os.DirEntry describes it."""

    name: str
    is_below: bool

    def is_dir(self) -> bool:
        return self.is_below

    def is_file(self) -> bool:
        return not self.is_below

    def is_symlink(self) -> bool:
        return False


class IndexedPath:
    """A path below an address, in use like a pathlib.Path that is only read."""

    __slots__ = ("_path", "source")

    def __init__(self, source: Source, path: PurePosixPath = PurePosixPath()):
        self.source, self._path = source, path

    def __truediv__(self, other: str | PurePosixPath) -> IndexedPath:
        return IndexedPath(self.source, self._path / other)

    def __str__(self) -> str:
        return f"{self.source.address}/{self._path}" if self._path.parts else self.source.address

    def __repr__(self) -> str:
        return f"IndexedPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IndexedPath) and (self.source, self._path) == (other.source, other._path)

    def __lt__(self, other: IndexedPath) -> bool:
        return self._path < other._path

    def __hash__(self) -> int:
        return hash((self.source, self._path))

    @property
    def name(self) -> str:
        return self._path.name or self.source.address.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self._path.stem

    @property
    def suffix(self) -> str:
        return self._path.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.source.address, *self._path.parts)

    @property
    def parent(self) -> IndexedPath:
        return IndexedPath(self.source, self._path.parent)

    @property
    def parents(self) -> tuple[IndexedPath, ...]:
        return tuple(IndexedPath(self.source, path) for path in self._path.parents)

    def with_name(self, name: str) -> IndexedPath:
        return IndexedPath(self.source, self._path.with_name(name))

    def with_suffix(self, suffix: str) -> IndexedPath:
        return IndexedPath(self.source, self._path.with_suffix(suffix))

    def as_posix(self) -> str:
        return str(self)

    def resolve(self) -> IndexedPath:
        return self

    def is_relative_to(self, other: Any) -> bool:
        return isinstance(other, IndexedPath) and other.source is self.source and self._path.is_relative_to(other._path)

    def relative_to(self, other: IndexedPath) -> PurePosixPath:
        return self._path.relative_to(other._path)

    def row(self) -> Row | None:
        """Return the row of the file in the index; None where there is no such file."""
        return self.source.index.find(self._path.as_posix())

    def is_file(self) -> bool:
        return self.row() is not None

    def is_dir(self) -> bool:
        return next(self._below(), None) is not None

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def is_symlink(self) -> bool:
        return False

    def read_bytes(self) -> bytes:
        row = self.row()
        if row is None:
            raise FileNotFoundError(2, "no such file in the index", str(self))
        return self.source.read(row)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors).replace("\r\n", "\n")

    def open(self, mode: str = "rb") -> BinaryIO:
        assert mode == "rb", mode
        return io.BytesIO(self.read_bytes())

    def entries(self) -> Iterator[Entry]:
        """Yield what lies directly in the folder; nothing where there is none."""
        index, prefix = self.source.index, self._prefix()
        position = index.position(prefix)
        while position < len(index):
            for path in index.paths(position):
                name, slash, _ = path[len(prefix) :].partition("/")
                if not path.startswith(prefix):
                    return
                yield Entry(name, bool(slash))
                if slash:
                    position = index.position(f"{prefix}{name}{_AFTER_SLASH}")  # after all that is below it
                    break
            else:
                return

    def numbered_files(self) -> Iterator[tuple[int, str]]:
        """Yield every file below the folder: the number of its row, and its path below the folder."""
        prefix = self._prefix()
        start = self.source.index.position(prefix)
        return ((i, path[len(prefix) :]) for i, path in enumerate(self._below(), start))

    def glob(self, pattern: str) -> Iterator[IndexedPath]:
        """Yield the files below the folder whose relative path fits, with as many folders as the pattern has."""
        wanted = pattern.split("/")
        for path in self._below():
            parts = path[len(self._prefix()) :].split("/")
            if len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted)):
                yield IndexedPath(self.source, PurePosixPath(path))

    def _prefix(self) -> str:
        return f"{self._path.as_posix()}/" if self._path.parts else ""

    def _below(self) -> Iterator[str]:
        index, prefix = self.source.index, self._prefix()
        for path in index.paths(index.position(prefix)):
            if not path.startswith(prefix):
                return
            yield path


def open_place(address: str, index: Path) -> IndexedPath:
    """Return the root of an address whose index lies at a path; the index is opened once, until it is another file."""
    status = index.stat()
    return _open_source(address, index, status.st_ino, status.st_mtime_ns).root


@lru_cache(maxsize=8)
def _open_source(address: str, index: Path, *state: int) -> Source:
    return Source(address, index)


def index_digests(paths: Sequence[IndexedPath], root: IndexedPath) -> list[tuple[str, str]]:
    """Return the name below the root of each file, and what changes when the file does; nothing is read for it."""
    rows = ((path, path.row()) for path in paths)
    return [(path.relative_to(root).as_posix(), row.identity() if row else "none") for path, row in rows]


@contextmanager
def local_file(path: Path | IndexedPath) -> Iterator[Path]:
    """Yield a file on this disk with the content of a path, for libraries that open files by their names."""
    if not isinstance(path, IndexedPath):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="udaseg-") as folder:
        copy = Path(folder, f"file{path.suffix}")
        copy.write_bytes(path.read_bytes())
        yield copy


def as_root(root: str | Path | IndexedPath) -> Path | IndexedPath:
    """Return the root of a dataset as what it is: a place, or a path."""
    return root if isinstance(root, IndexedPath) else Path(root)
