"""Decode one channel of a 16-bit colour PNG; Pillow would return only the high bytes.

SYNTHIA stores the class id in the red channel of such files, and depth in all three. PNG filters work on each byte of
a pixel separately, so that one channel takes a third of the time of three.
"""

import struct
import zlib

import numba
import numpy as np

from udaseg.data.images.png import SIGNATURE


def decode_channel(data: bytes, channel: int) -> np.ndarray:
    """Decode one channel (0 red, 1 green, 2 blue) of a 16-bit RGB PNG from the file's bytes: uint16 [H, W].

    Raises ValueError for a damaged file: a cut or missing chunk, a wrong checksum, a wrong number of pixel bytes; and
    for another kind of PNG. Source: PNG specification, third edition, sections 7.3 (filtering), 9 and 10.
    """
    header, compressed = _chunks(data)
    width, height, depth, colour, _, _, interlace = header
    if (depth, colour) != (16, 2):
        raise ValueError(f"not a 16-bit RGB PNG: bit depth {depth}, colour type {colour}")
    if interlace:
        raise ValueError("interlaced PNG")
    stride = 1 + 6 * width
    inflate = zlib.decompressobj()
    raw = inflate.decompress(compressed, height * stride + 1)
    if len(raw) != height * stride:
        raise ValueError(f"{len(raw)} bytes of pixels instead of {height * stride}")
    rows = np.frombuffer(raw, np.uint8).reshape(height, stride)
    if rows[:, 0].max() > 4:
        raise ValueError(f"unknown filter type {rows[:, 0].max()}")
    values = np.empty((height, width), np.uint16)
    _unfilter(rows, 2 * channel, values)
    return values


def _chunks(data: bytes) -> tuple[tuple, bytes]:
    if data[:8] != SIGNATURE:
        raise ValueError("no PNG signature")
    header, parts, at = None, [], 8
    while True:
        if at + 12 > len(data):
            raise ValueError("truncated")
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            raise ValueError("truncated")
        if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"wrong checksum in chunk {kind!r}")
        if kind == b"IHDR":
            header = struct.unpack_from(">IIBBBBB", data, at + 8)
        elif kind == b"IDAT":
            parts.append(data[at + 8 : end])
        elif kind == b"IEND":
            break
        at = end + 4
    if header is None:
        raise ValueError("no header chunk")
    return header, b"".join(parts)


@numba.njit(cache=True, nogil=True)
def _unfilter(rows, offset, values):
    height, width = values.shape
    above = np.zeros((2, width), np.int32)
    for y in range(height):
        kind = rows[y, 0]
        for lane in range(2):
            line, at = above[lane], 1 + offset + lane
            left, corner = np.int32(0), np.int32(0)
            for x in range(width):
                up, byte = line[x], np.int32(rows[y, at + 6 * x])
                if kind == 1:
                    byte += left
                elif kind == 2:
                    byte += up
                elif kind == 3:
                    byte += (left + up) >> 1
                elif kind == 4:
                    byte += _paeth(left, up, corner)
                left, corner = byte & np.int32(255), up
                line[x] = left
        for x in range(width):
            values[y, x] = (above[0, x] << 8) | above[1, x]


@numba.njit(cache=True, nogil=True, inline="always")
def _paeth(left, up, corner):
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner
