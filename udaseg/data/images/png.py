"""Encode RGB images as PNG where Pillow cannot, with 16 bits, or takes more than twice as long."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AS_IT_IS, _LEFT = 0, 1  # filter types: what is subtracted from a byte


def encode(values_HW3: np.ndarray, *, photograph: bool = False) -> bytes:
    """Encode uint8 or uint16 [H, W, 3].

    A photograph hardly repeats: its differences to the left neighbour are coded without a search for matches, in a
    quarter of the time that zlib takes for that. It is read faster too than what Pillow writes, which chooses a filter
    for each row. Everything else is searched as it is.
    Source: PNG specification, third edition, sections 7, 9 and 11.
    """
    height, width = values_HW3.shape[:2]
    big_endian = np.ascontiguousarray(values_HW3, values_HW3.dtype.newbyteorder(">"))
    bytes_HB, pixel = big_endian.view(np.uint8).reshape(height, -1), 3 * values_HW3.itemsize
    rows = np.empty((height, 1 + bytes_HB.shape[1]), np.uint8)
    rows[:, 0] = _LEFT if photograph else _AS_IT_IS
    rows[:, 1:] = bytes_HB
    if photograph:
        rows[:, 1 + pixel :] -= bytes_HB[:, :-pixel]
        from udaseg.data.images import huffman  # brings numba, which most images never need

        packed = huffman.compress(rows.reshape(-1))
    else:
        packed = zlib.compress(rows, 1)
    header = struct.pack(">IIBBBBB", width, height, 8 * values_HW3.itemsize, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )
