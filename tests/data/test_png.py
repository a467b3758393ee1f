"""PNG files of our own writing, read by others."""

import io

import numpy as np
import pytest
from PIL import Image

from udaseg.data.images import png
from udaseg.data.images.png16 import decode_channel

SIZES = [(1, 1), (1, 9), (9, 1), (5, 7), (64, 48)]


def noise(size, dtype):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (*size, 3), endpoint=True)
    values[0, 0] = 0, np.iinfo(dtype).max, 1
    return values.astype(dtype)


@pytest.mark.parametrize("photograph", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_pillow_reads_what_was_written(size, photograph):
    values = noise(size, np.uint8)
    with Image.open(io.BytesIO(png.encode(values, photograph=photograph))) as image:
        image.verify()  # the sums of all chunks
    with Image.open(io.BytesIO(png.encode(values, photograph=photograph))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), values)


@pytest.mark.parametrize("size", SIZES)
def test_a_label_keeps_its_ids_and_its_palette(size):
    rng = np.random.default_rng(1)
    ids, palette = rng.integers(0, 256, size).astype(np.uint8), rng.integers(0, 256, 768).tolist()
    with Image.open(io.BytesIO(png.encode(ids, palette))) as image:
        image.verify()
    with Image.open(io.BytesIO(png.encode(ids, palette))) as image:
        assert (image.format, image.mode, image.getpalette()) == ("PNG", "P", palette)
        np.testing.assert_array_equal(np.asarray(image), ids)


@pytest.mark.parametrize("size", SIZES)
def test_sixteen_bits_keep_every_value(size):
    values = noise(size, np.uint16)
    data = png.encode(values)
    for channel in range(3):
        np.testing.assert_array_equal(decode_channel(data, channel), values[:, :, channel])


def test_any_memory_layout_gives_the_same_file():
    values = noise((16, 24), np.uint8)
    turned = np.asfortranarray(values)
    assert png.encode(turned, photograph=True) == png.encode(values, photograph=True)
    assert png.encode(values[::2, ::2]) == png.encode(np.ascontiguousarray(values[::2, ::2]))


def test_a_smooth_photograph_is_smaller_by_its_differences():
    y, x = np.mgrid[:64, :64]
    values = np.stack([2 * x + y, 3 * x, x + 2 * y], axis=-1).astype(np.uint8)
    assert len(png.encode(values, photograph=True)) < values.nbytes / 3
