"""A row of an index: a file of a dataset, and where its bytes lie."""

from typing import NamedTuple


class Row(NamedTuple):
    """A file of a dataset: its path below the root, the size of its bytes, and where they lie.

    `digest` is that of its bytes (32 hexadecimal digits), where they were read; else `etag` is what the store calls
    the version of the object. `shard` is the tar or Parquet file that holds it; a tar member begins at byte `offset`,
    and a row of Parquet has the number `offset` and lies in `column`.
    """

    path: str
    size: int
    digest: str | None = None
    etag: str | None = None
    shard: str | None = None
    offset: int | None = None
    column: str | None = None

    @property
    def object(self) -> str:
        """Return the name of the object in the store that holds the file."""
        return self.shard or self.path

    def identity(self) -> str:
        """Return what changes when the file does: the digest of its bytes, or the version of its object."""
        return self.digest or f"etag:{self.etag}"
