"""The run-length code of Label Studio's brush masks."""

from collections.abc import Sequence

import numpy as np

from udaseg.config import HxW


def draw_brush(code: Sequence[int], size: HxW) -> np.ndarray:
    """Draw a brush mask from the bytes of its code: bool [H, W], true where the brush's alpha is above 0.

    The code holds the values of an RGBA image, row by row. Raises ValueError where it is damaged, or of another size.
    Source: thi.ng/rle-pack, format; Label Studio converter, brush masks.
    """
    if isinstance(code, int | str):
        raise ValueError(f"a list of bytes is expected, not {code!r:.40}")
    bits = _Bits(bytes(code))
    count = bits.read(32)
    if count != 4 * size[0] * size[1]:
        raise ValueError(f"{count} values for an image of {size[0]}x{size[1]}, expected {4 * size[0] * size[1]}")
    word = bits.read(5) + 1
    if word != 8:
        raise ValueError(f"values of {word} bits, expected 8")
    lengths = [bits.read(4) + 1 for _ in range(4)]  # bits of a run's length, four to choose from
    values, at = np.empty(count, np.uint8), 0
    while at < count:
        is_run = bits.read(1)
        end = at + 1 + bits.read(lengths[bits.read(2)])
        if end > count:
            raise ValueError(f"runs of more than the {count} values")
        values[at:end] = bits.read(8) if is_run else np.frombuffer(bits.read_bytes(end - at), np.uint8)
        at = end
    return values.reshape(*size, 4)[..., 3] > 0


class _Bits:
    """Read numbers of any number of bits from bytes, the highest bit first."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def read(self, count: int) -> int:
        first, self._at = self._at, self._at + count
        if self._at > 8 * len(self._data):
            raise ValueError(f"it ends early, after {len(self._data)} bytes")
        last = -(-self._at // 8)
        return int.from_bytes(self._data[first // 8 : last]) >> 8 * last - self._at & (1 << count) - 1

    def read_bytes(self, count: int) -> bytes:
        return self.read(8 * count).to_bytes(count)
