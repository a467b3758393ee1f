"""Read single pictures out of Parquet shards; the groups of rows that were read last stay in memory."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import Any

from udaseg.data.places.store import Store
from udaseg.errors import UdasegError

_GROUPS = 4  # groups of rows in memory: a picture can only be read with its group
_FILES = 16  # open files: their footers
_BLOCK = 1 << 18  # bytes of a request, at least


class Cells:
    """The pictures in the Parquet shards of a store. Threads may read them at once."""

    def __init__(self, store: Store, hint: str):
        self._store, self._hint = store, hint
        self._files: OrderedDict[str, Any] = OrderedDict()
        self._groups: OrderedDict[tuple[str, str, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, shard: str, column: str, number: int) -> bytes:
        """Return the bytes of the picture in a column of a row; raise UdasegError where there is none any more."""
        with self._lock:
            try:
                file, ends = _cached(self._files, shard, _FILES, lambda: self._open(shard))
                group = bisect_right(ends, number)
                key = shard, column, group
                values = _cached(self._groups, key, _GROUPS, lambda: _read_group(file, column, group))
                value = values[number - ends[group] + len(values)].as_py()
            except (OSError, ValueError, LookupError) as error:
                raise UdasegError(
                    f"{self._store.address}/{shard}: expected the picture of row {number} in {column}, found: "
                    f"{' '.join(str(error).split())}",
                    self._hint,
                ) from None
        return bytes_and_path(value)[0] or b""

    def _open(self, shard: str) -> tuple[Any, list[int]]:
        from pyarrow import parquet

        file = parquet.ParquetFile(self._store.open(shard, _BLOCK))
        groups = range(file.metadata.num_row_groups)
        return file, list(accumulate(file.metadata.row_group(i).num_rows for i in groups))


def bytes_and_path(value: Any) -> tuple[bytes | None, str | None]:
    """Return the bytes and the path of an image in Parquet: bytes alone, or a struct of both."""
    return (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)


def _read_group(file: Any, column: str, group: int) -> Any:
    return file.read_row_group(group, columns=[column], use_threads=False).column(column)


def _cached(cache: OrderedDict, key: Any, size: int, make: Any) -> Any:
    if key not in cache:
        cache[key] = make()
    cache.move_to_end(key)
    if len(cache) > size:
        cache.popitem(last=False)
    return cache[key]
