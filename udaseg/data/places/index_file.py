"""The index of a place: one Parquet file with a row for each file of a dataset, sorted by path."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.data.places.row import Row
from udaseg.errors import UdasegError
from udaseg.io.files import atomic

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

GROUP = 4096  # rows that are read together
_CACHED = 8  # groups of rows in memory


class IndexFile:
    """An index on disk. Threads may read it at once; a few groups of rows are in memory, however many there are."""

    def __init__(self, path: Path):
        self._path = path
        self._file = _open(path)
        metadata = self._file.metadata
        column = Row._fields.index("path")
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self._ends: list[int] = []
        for group in groups:
            self._ends.append(group.num_rows + (self._ends[-1] if self._ends else 0))
        self._first_paths = [group.column(column).statistics.min for group in groups]
        self._cache: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, i: int) -> Row:
        group = bisect_right(self._ends, i)
        table = self._group(group)
        return _row(table, i - self._ends[group] + table.num_rows)

    def path(self, i: int) -> str:
        """Return the path of a row."""
        group = bisect_right(self._ends, i)
        paths = self._group(group).column("path")
        return paths[i - self._ends[group] + len(paths)].as_py()

    def position(self, path: str) -> int:
        """Return the number of the first row whose path is not before this one."""
        group = max(0, bisect_right(self._first_paths, path) - 1)
        if not self._ends:
            return 0
        paths = self._group(group).column("path")
        low, high = 0, len(paths)
        while low < high:
            middle = (low + high) // 2
            if paths[middle].as_py() < path:
                low = middle + 1
            else:
                high = middle
        return self._ends[group] - len(paths) + low

    def find(self, path: str) -> Row | None:
        """Return the row of a path; None where the index has none."""
        i = self.position(path)
        row = self[i] if i < len(self) else None
        return row if row is not None and row.path == path else None

    def paths(self, start: int) -> Iterator[str]:
        """Yield the paths of all rows from a number on."""
        while start < len(self):
            group = bisect_right(self._ends, start)
            table = self._group(group)
            yield from table.column("path").slice(start - self._ends[group] + table.num_rows).to_pylist()
            start = self._ends[group]

    def _group(self, group: int) -> pyarrow.Table:
        with self._lock:
            table = self._cache.get(group)
            if table is None:
                try:
                    table = self._file.read_row_group(group, use_threads=False).combine_chunks()
                except OSError as error:
                    raise _damaged(self._path, error) from None
            self._cache[group] = table
            self._cache.move_to_end(group)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
            return table


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of an index or a part of one, with a few in memory."""
    try:
        with _open(path) as file:
            for batch in file.iter_batches(GROUP // 8, use_threads=False):
                yield from map(Row, *(batch.column(name).to_pylist() for name in Row._fields))
    except OSError as error:
        raise _damaged(path, error) from None


def count_rows(path: Path) -> int:
    """Return how many rows an index or a part of one has."""
    with _open(path) as file:
        return file.metadata.num_rows


@contextmanager
def write_rows(path: Path) -> Iterator[_Writer]:
    """Yield a writer, whose `put` takes rows; the file appears when the block ends without an error."""
    with atomic(path, sync=False) as temporary:
        writer = _Writer(temporary)
        try:
            yield writer
        finally:
            writer.close()


class _Writer:
    def __init__(self, path: Path):
        _, parquet = _import()
        self._schema = _schema()
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def put(self, rows: Iterable[Row]) -> None:
        """Write rows, which come in the order of their paths."""
        arrow, _ = _import()
        remaining = iter(rows)
        while chunk := list(islice(remaining, GROUP)):
            values = zip(zip(*chunk, strict=True), self._schema.types, strict=True)
            columns = [arrow.array(column, kind) for column, kind in values]
            self._file.write_table(arrow.Table.from_arrays(columns, schema=self._schema), row_group_size=GROUP)

    def close(self) -> None:
        self._file.close()


def _row(table: pyarrow.Table, i: int) -> Row:
    return Row(*(table.column(name)[i].as_py() for name in Row._fields))


def _schema() -> pyarrow.Schema:
    arrow, _ = _import()
    kinds = {"size": arrow.int64(), "offset": arrow.int64()}
    return arrow.schema([(name, kinds.get(name, arrow.string())) for name in Row._fields])


def _open(path: Path) -> parquet.ParquetFile:
    parquet = require_arrow(str(path))
    try:
        file = parquet.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise _damaged(path, error) from None
    if tuple(file.schema_arrow.names) != Row._fields:
        raise _damaged(path, ValueError(f"the columns {', '.join(file.schema_arrow.names)}"))
    return file


def _damaged(path: Path, error: Exception) -> UdasegError:
    return UdasegError(
        f"{path}: expected the index of a dataset, found {error}", f"remove {path.parent}; it is then made again"
    )


def require_arrow(place: str) -> Any:
    """Return pyarrow's module for Parquet; raise UdasegError where the package is not installed."""
    try:
        return _import()[1]
    except ImportError:
        raise UdasegError(f"{place}: reading it needs the package pyarrow", "pip install 'udaseg[remote]'") from None


def _import() -> tuple[Any, Any]:
    import pyarrow
    from pyarrow import parquet

    return pyarrow, parquet
