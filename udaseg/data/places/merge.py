"""Join the parts of an index, each sorted by path, into one, with a bounded number of rows in memory."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from udaseg.data.places.index_file import read_rows, write_rows
from udaseg.data.places.row import Row
from udaseg.errors import UdasegError, join_names

_TOGETHER = 32  # parts that are merged at a time


def merge_parts(parts: Sequence[Path], out: Path, rows: int, progress: Callable[[int, int], None]) -> int:
    """Write the rows of all parts into one index in the order of their paths; return how many there are.

    `rows` is how many there are in all parts, and `progress` is told (done, rows). Many parts are merged in several
    passes, whose files lie beside the parts. Raises UdasegError where two rows have the same path.
    """
    level = 0
    while len(parts) > _TOGETHER:
        level += 1
        merged = []
        for start in range(0, len(parts), _TOGETHER):
            path = parts[0].with_name(f"merged-{level}-{start // _TOGETHER:06}.parquet")
            if not path.exists():
                with write_rows(path) as writer:
                    writer.put(_merge(parts[start : start + _TOGETHER]))
            merged.append(path)
        parts = merged
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        for count, row in enumerate(_unique(_merge(parts)), 1):
            if count % 1000 == 0 or count == rows:
                progress(count, rows)
            yield row

    with write_rows(out) as writer:
        writer.put(counted())
    return count


def _merge(parts: Sequence[Path]) -> Iterator[Row]:
    return heapq.merge(*map(read_rows, parts), key=lambda row: row.path)


def _unique(rows: Iterator[Row]) -> Iterator[Row]:
    last = Row("", 0)
    for row in rows:
        if last.path == row.path:
            places = [one.shard or "an object of its own" for one in (last, row)]
            raise UdasegError(
                f"expected each picture in one place, found {row.path} in {join_names(places)}",
                "remove one of the two, or give the samples other keys",
            )
        yield row
        last = row
