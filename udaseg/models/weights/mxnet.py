"""Read the tensors of a `.params` file of MXNet, without MXNet.

The numbers are little-endian (MXNet, src/ndarray/ndarray.cc). The file holds 0x112 and 0, the number of arrays, the
arrays, the number of names, and the names: their lengths and bytes. These numbers have 8 bytes. An array is a version,
a shape, a device (two numbers), the type of its values, and the values. These numbers have 4 bytes, but the sides of
the shape have 8. The oldest arrays have no version; they begin with their shape, whose sides have 4 bytes.
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from udaseg.errors import UdasegError
from udaseg.models.weights.layouts import Tensors

SUFFIX = ".params"
LIST_MAGIC = 0x112
# version of an array; of versions 2 and 3, the next number is the kind of storage, 0 for dense arrays
WITHOUT_STORAGE, WITH_STORAGE = 0xF993FAC8, (0xF993FAC9, 0xF993FACA)
MOST_DIMENSIONS = 32
TYPES = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8")
PREFIXES = ("arg:", "aux:")  # of parameters, and of running statistics


class _DamageError(Exception):
    """The file ends too early, or holds something else than its format allows."""


def read_params(path: Path) -> Tensors:
    """Read the tensors of a file by name, without the prefixes `arg:` and `aux:`.

    Nothing is read past the end of the file, whatever its counts say. Raises UdasegError for a file that is missing,
    damaged, or holds sparse arrays.
    """
    try:
        with path.open("rb") as file:
            return _read_list(file, path.stat().st_size)
    except OSError as error:
        raise UdasegError(
            f"cannot read {path}: {error.strerror or error}", "check the path and its permissions"
        ) from None
    except (_DamageError, UnicodeDecodeError) as error:
        reason = f" ({error})" if isinstance(error, _DamageError) and str(error) else ""
        raise UdasegError(
            f"{path} is truncated, damaged, or not a parameter file of MXNet{reason}", "copy it again"
        ) from None


def _read_list(file: BinaryIO, size: int) -> Tensors:
    magic, _reserved = _read_numbers(file, size, "QQ")
    if magic != LIST_MAGIC:
        raise _DamageError("it begins with another number")
    arrays = [_read_array(file, size) for _ in range(_read_count(file, size))]
    names = [_read_name(file, size) for _ in range(_read_count(file, size))]
    if len(set(names)) != len(names) or len(names) != len(arrays):
        raise _DamageError(f"it has {len(arrays)} arrays and {len(set(names))} names")
    return dict(zip(names, arrays, strict=True))


def _read_array(file: BinaryIO, size: int) -> torch.Tensor:
    (version,) = _read_numbers(file, size, "I")
    dimensions, side = version, "I"
    if version == WITHOUT_STORAGE or version in WITH_STORAGE:
        if version in WITH_STORAGE and _read_numbers(file, size, "i") != (0,):
            raise _DamageError("it holds sparse arrays")
        (dimensions,), side = _read_numbers(file, size, "I"), "q"
    if not 0 < dimensions <= MOST_DIMENSIONS:
        raise _DamageError(f"an array has {dimensions} dimensions")
    shape = _read_numbers(file, size, f"{dimensions}{side}")
    _device, _number, kind = _read_numbers(file, size, "iii")
    if min(shape) < 0 or not 0 <= kind < len(TYPES):
        raise _DamageError(f"an array has shape {list(shape)} and type {kind}")
    data = np.frombuffer(_read_bytes(file, size, math.prod(shape) * np.dtype(TYPES[kind]).itemsize), TYPES[kind])
    return torch.from_numpy(data.reshape(shape).copy())


def _read_name(file: BinaryIO, size: int) -> str:
    (length,) = _read_numbers(file, size, "Q")
    name = _read_bytes(file, size, length).decode("utf-8")
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _read_count(file: BinaryIO, size: int) -> int:
    """Read a number of arrays or names; each of them takes eight bytes or more of what is left of the file."""
    (count,) = _read_numbers(file, size, "Q")
    if count > (size - file.tell()) // 8:
        raise _DamageError("it ends too early")
    return count


def _read_numbers(file: BinaryIO, size: int, layout: str) -> tuple[int, ...]:
    layout = f"<{layout}"
    return struct.unpack(layout, _read_bytes(file, size, struct.calcsize(layout)))


def _read_bytes(file: BinaryIO, size: int, count: int) -> bytes:
    if count > size - file.tell():
        raise _DamageError("it ends too early")
    return file.read(count)
