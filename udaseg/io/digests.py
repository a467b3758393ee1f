"""Digests by which inputs are compared: of names and content, with a cache for datasets."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.files import read_json, write_json

THREADS = 8  # hashing lets other threads run, and several reads at once hide the latency of a disk
RECENT_NS = 2_000_000_000  # a file this young may change again without a new time, on file systems with coarse times


def content_digest(root: Path, files: Iterable[Path]) -> str:
    """Return the digest of the files' names below `root` and of their bytes: 32 hexadecimal digits."""
    return joint_digest((path.relative_to(root).as_posix(), _file_digest(path)) for path in files)


def signature(root: Path, files: Iterable[Path]) -> str:
    """Return the digest of names, sizes, times and inodes: as long as it is equal, nobody has touched the files."""
    hasher = _hasher()
    for path in files:
        status = path.stat()
        line = f"{path.relative_to(root).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\n"
        hasher.update(line.encode(errors="surrogateescape"))
    return hasher.hexdigest()


def dataset_digest(
    files: Iterable[Path], root: Path, meaning: bytes = b"", progress: Callable[[int, int], None] | None = None
) -> str:
    """Return the digest of a dataset: its files' names below `root`, their bytes, and what they mean.

    `meaning` is what else decides how the files are read, such as the table of their ids. A file whose size and time
    are those of the last look is not read again: its digest is kept in the user's cache directory. `progress` is told
    (done, total) of the files that are read. Raises OSError for a file that cannot be read.
    """
    return joint_digest(file_digests(files, root, progress), meaning)


def file_digests(
    files: Iterable[Path], root: Path, progress: Callable[[int, int], None] | None = None
) -> list[tuple[str, str]]:
    """Return the name below `root` and the digest of each file of a dataset; see `dataset_digest`."""
    paths = list(files)
    names = [os.path.relpath(path, root) for path in paths]
    return list(zip(names, _cached_digests(root, names, paths, progress), strict=True))


def cache_folder() -> Path:
    """Return the directory in which udaseg keeps what it can compute again: $XDG_CACHE_HOME/udaseg, ~/.cache/udaseg.

    Raises RuntimeError where there is no home directory.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "udaseg"


def _cached_digests(
    root: Path, names: Sequence[str], paths: Sequence[Path], progress: Callable[[int, int], None] | None
) -> list[str]:
    cache = _cache_file(root)
    known = _read_cache(cache)
    states = [[status.st_size, status.st_mtime_ns] for status in (path.stat() for path in paths)]
    digests = [_known_digest(known.get(name), state) for name, state in zip(names, states, strict=True)]
    missing = [i for i, digest in enumerate(digests) if digest is None]
    now = time.time_ns()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            read = pool.map(_file_digest, [paths[i] for i in missing])
            for done, (i, digest) in enumerate(zip(missing, read, strict=True), 1):
                digests[i] = digest
                if abs(now - states[i][1]) > RECENT_NS:
                    known[names[i]] = [*states[i], digest]
                if progress is not None:
                    progress(done, len(missing))
    finally:  # also where it is stopped: what has been read is not read again
        if missing and cache is not None:
            with suppress(OSError):
                write_json(cache, {"root": str(root), "files": known})
    return [str(digest) for digest in digests]


def _cache_file(root: Path) -> Path | None:
    """Return the file that caches the digests of the files below a directory; None where there is no home."""
    name = hashlib.blake2b(os.fsencode(os.path.realpath(root)), digest_size=16).hexdigest()
    try:
        return cache_folder() / "digests" / f"{name}.json"
    except RuntimeError:
        return None


def _read_cache(cache: Path | None) -> dict[str, Any]:
    """Read [size, time, digest] by name; nothing from a cache that is missing or damaged."""
    with suppress(UdasegError):
        files = (read_json(cache) or {}).get("files") if cache is not None else None
        return files if isinstance(files, dict) else {}
    return {}


def _known_digest(entry: Any, state: list[int]) -> str | None:
    is_same = isinstance(entry, list) and len(entry) == 3 and entry[:2] == state and isinstance(entry[2], str)
    return entry[2] if is_same else None


def joint_digest(digests: Iterable[tuple[str, str]], meaning: bytes = b"") -> str:
    """Return the digest of names and digests of files, and of what they mean."""
    hasher = _hasher(meaning)
    for name, digest in digests:
        hasher.update(f"{name}\0{digest}\n".encode(errors="surrogateescape"))
    return hasher.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _hasher).hexdigest()


def _hasher(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.blake2b(data, digest_size=16)
