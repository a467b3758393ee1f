"""List the pictures of a Parquet file, in the form in which Hugging Face stores images."""

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from udaseg.data.datasets.layout import IMAGES
from udaseg.data.places.index_file import require_arrow
from udaseg.data.places.layout_of_shards import is_safe, path_in_dataset, split_of
from udaseg.data.places.parquet_cells import bytes_and_path
from udaseg.data.places.row import Row
from udaseg.errors import UdasegError

COLUMNS = {
    "image": ("image", "img"),
    "label": ("label", "labels", "annotation", "mask", "segmentation", "seg"),
    "depth": ("depth",),
}
_BATCH = 64  # rows in memory at a time
_SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp", b"II*\0": "tif", b"MM\0*": "tif",
               b"BM": "bmp"}  # fmt: skip


def list_parquet(file: IO[bytes], shard: str, place: str) -> list[Row] | None:
    """Read a Parquet file row by row; return a row for each picture in it, None where no column holds images.

    An image is bytes, or a struct of `bytes` and `path`. Its key is the path without suffix, else the name of the file
    and the number of the row. Raises UdasegError for a damaged file, and for a row without its image.
    """
    parquet = require_arrow(place)
    rows, number, split = [], 0, split_of(shard)
    try:
        table = parquet.ParquetFile(file)
        columns = _image_columns(table.schema_arrow)
        if "image" not in columns:
            return None
        for batch in table.iter_batches(_BATCH, columns=list(columns.values()), use_threads=False):
            values = {kind: batch.column(name).to_pylist() for kind, name in columns.items()}
            for i in range(batch.num_rows):
                rows += _sample(values, columns, i, number, shard, split, place)
                number += 1
    except (OSError, ValueError) as error:
        raise UdasegError(
            f"{place}: expected a whole Parquet file, found a damaged one: {' '.join(str(error).split())}",
            "copy it again",
        ) from None
    return rows


def _sample(
    values: dict[str, list], columns: dict[str, str], i: int, number: int, shard: str, split: str, place: str
) -> Iterator[Row]:
    data, name = bytes_and_path(values["image"][i])
    if data is None:
        raise UdasegError(
            f"{place}: expected the bytes of an image in row {number} of {columns['image']}, found none",
            "write the images into the file, not their paths",
        )
    key = f"{PurePosixPath(shard).stem}-{number:08}"
    if name:
        key = name.removesuffix(PurePosixPath(name).suffix)
    if not is_safe(key):
        raise UdasegError(
            f"{place}: expected a path below the dataset in row {number}, found {name!r}", "write the file again"
        )
    for kind, column in columns.items():
        data, name = bytes_and_path(values[kind][i])
        if data is not None:  # a row may have no label
            path = path_in_dataset(split, kind, key, _suffix(name, data))
            digest = hashlib.blake2b(data, digest_size=16).hexdigest()
            yield Row(path, len(data), digest, None, shard, number, column)


def _suffix(name: str | None, data: bytes) -> str:
    """Return the type of an image: as its path says, else as its bytes begin."""
    named = PurePosixPath(name or "").suffix
    if named.lower() in IMAGES:
        return named[1:]
    return next((suffix for start, suffix in _SIGNATURES.items() if data.startswith(start)), "png")


def _image_columns(schema: Any) -> dict[str, str]:
    """Return the columns that hold pictures, by kind."""
    from pyarrow import types

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0 and holds_bytes(kind.field("bytes").type)
        return types.is_binary(kind) or types.is_large_binary(kind)

    of_pictures = {field.name.lower(): field.name for field in schema if holds_bytes(field.type)}
    found = {kind: next((of_pictures[n] for n in names if n in of_pictures), None) for kind, names in COLUMNS.items()}
    return {kind: name for kind, name in found.items() if name is not None}
