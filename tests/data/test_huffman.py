"""Huffman codes of our own writing, read by zlib."""

import zlib

import numpy as np
import pytest

from udaseg.data.images.huffman import BLOCK, compress

SIZES = (1, 2, 3, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1)


def drawn(kind: str, size: int) -> np.ndarray:
    random = np.random.default_rng(size)
    if kind == "one value":
        return np.full(size, 255, np.uint8)
    if kind == "every value alike":
        return random.integers(0, 256, size).astype(np.uint8)
    return (random.laplace(0, 3, size).astype(np.int64) % 256).astype(np.uint8)  # as the differences in a photograph


@pytest.mark.parametrize("kind", ["one value", "every value alike", "small differences"])
@pytest.mark.parametrize("size", SIZES)
def test_zlib_reads_what_was_written(kind, size):
    bytes_ = drawn(kind, size)
    assert zlib.decompress(compress(bytes_)) == bytes_.tobytes()


def test_no_code_is_longer_than_the_format_allows():
    counts = [1, 1]
    while sum(counts) + counts[-1] + counts[-2] <= BLOCK:  # Fibonacci's numbers make the deepest trees there are
        counts.append(counts[-1] + counts[-2])
    assert len(counts) > 17  # a tree of more than 15 levels
    bytes_ = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    assert zlib.decompress(compress(bytes_)) == bytes_.tobytes()


def test_it_is_as_small_as_zlibs_own_huffman_codes():
    bytes_ = drawn("small differences", 8 * BLOCK)
    packer = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    assert len(compress(bytes_)) <= 1.001 * len(packer.compress(bytes_) + packer.flush())
