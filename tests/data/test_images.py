import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.data import read_depth, read_image, read_label_ids, read_train_ids, write_label
from udaseg.data.images.read import image_size
from udaseg.errors import UdasegError
from udaseg.labels import class_space, flat_palette

from .corpora import SYNTHIA_IDS, columns, label, photo, png16, save, synthia_label

# Third-party images that may lie beside the checkout and are no part of it.
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"


@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (0, 1, 2, 3, 4), (4, 3, 2, 1)])
def test_every_filter_of_a_16_bit_png_is_undone_exactly(tmp_path, filters):
    channels = np.random.default_rng(0).integers(0, 65536, (11, 7, 3)).astype(np.uint16)
    channels[4:8] = channels[3]  # smooth rows, where the predictors matter
    path = png16(tmp_path / "depth.png", channels, filters)
    assert np.array_equal(read_depth(path), channels[..., 0])


def test_synthia_ids_are_in_the_red_plane_where_pillow_sees_zeros(tmp_path):
    path = synthia_label(tmp_path / "0000000.png")
    assert np.array_equal(read_label_ids(path, "synthia"), columns(SYNTHIA_IDS))
    with Image.open(path) as image:
        assert not np.array(image)[..., 0].any()


def test_a_palette_png_gives_indices_and_a_grey_one_values(tmp_path):
    values = (0, 7, 26, 33, 255)
    for palette in (True, False):
        path = label(tmp_path / f"{palette}.png", values, palette=palette)
        assert np.array_equal(read_label_ids(path, "cityscapes"), columns(values))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_keep_their_ids(tmp_path, bits):
    ids = np.arange(8) % 2**bits
    packed = np.packbits((ids[:, None] >> np.arange(bits)[::-1]) & 1).tobytes()
    for colour in (0, 3):
        chunks = [(b"IHDR", (8).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([bits, colour, 0, 0, 0]))]
        chunks += [(b"PLTE", bytes(range(3 * 2**bits)))] if colour == 3 else []
        chunks += [(b"IDAT", zlib.compress(b"\0" + packed)), (b"IEND", b"")]
        data = b"".join(len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big") for k, d in chunks)
        path = tmp_path / f"{colour}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        assert read_label_ids(path, "cityscapes").tolist() == [ids.tolist()]


def test_depth_of_one_channel_and_of_three_is_the_same(tmp_path):
    cm = np.array([[0, 1, 570], [1150, 20_800, 65_535]], np.uint16)
    one = read_depth(save(tmp_path / "one.png", cm))
    three = read_depth(png16(tmp_path / "three.png", np.stack([cm] * 3, axis=-1)))
    assert one.dtype == three.dtype == np.uint16
    assert np.array_equal(one, cm)
    assert np.array_equal(three, cm)


def test_images_of_every_mode_are_read_as_rgb(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    for mode in ("RGB", "RGBA", "L", "P"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(pixels).convert(mode).save(path)
        image = read_image(path)
        assert image.shape == (4, 5, 3)
        assert image.dtype == np.uint8
        assert image.flags.writeable
    assert np.array_equal(read_image(tmp_path / "RGB.png"), pixels)
    assert np.array_equal(read_image(tmp_path / "RGBA.png"), pixels)
    assert image_size(tmp_path / "L.png") == (4, 5)


def test_written_labels_are_read_back_unchanged(tmp_path):
    space = class_space(["road", "car"])
    labels = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    path = tmp_path / "straße 1.png"
    write_label(path, labels, flat_palette(space))
    assert np.array_equal(read_train_ids(path, space), labels)
    assert np.array_equal(read_image(path)[0], [[128, 64, 128], [0, 0, 142], [0, 0, 0]])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with pytest.raises(UdasegError, match=r"straße 1\.png: expected train ids 0 to 0 and 255, found \[1\]"):
        read_train_ids(path, class_space(["road"]))


def test_a_failed_write_keeps_the_old_label(tmp_path):
    path = tmp_path / "a.png"
    write_label(path, np.zeros((2, 2), np.uint8), [0] * 768)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="palette"):
        write_label(path, np.ones((2, 2), np.uint8), [0] * 9999)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


READERS = {
    "image": read_image,
    "label": lambda path: read_label_ids(path, "cityscapes"),
    "synthia": lambda path: read_label_ids(path, "synthia"),
    "depth": read_depth,
    "size": image_size,
}


def good(path: Path, reader: str) -> Path:
    noise = np.random.default_rng(0).integers(0, 34, (40, 50)).astype(np.uint16)
    if reader == "synthia":
        return png16(path, np.stack([noise] * 3, axis=-1))
    if reader == "depth":
        return save(path, noise)
    return label(path, range(30), (40, 50)) if reader == "label" else photo(path, (40, 50))


@pytest.mark.parametrize("reader", READERS)
def test_unreadable_files_are_named(tmp_path, reader):
    read, path = READERS[reader], tmp_path / "frame 1.png"
    with pytest.raises(UdasegError, match=r"frame 1\.png"):
        read(path)
    for data in (b"", b"not an image at all, just text", b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(data)
        with pytest.raises(UdasegError, match=r"frame 1\.png"):
            read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UdasegError, match=r"frame 1\.png"):
        read(path)


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "size"])
@pytest.mark.parametrize("damage", ["half", "no end", "bit"])
def test_damaged_images_are_errors_not_garbage(tmp_path, reader, damage):
    path = good(tmp_path / "frame.png", reader)
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 16
    path.write_bytes({"half": data[: len(data) // 2], "no end": data[:-20], "bit": data}[damage])
    with pytest.raises(UdasegError, match=r"frame\.png: expected .*, found"):
        READERS[reader](path)


def test_a_truncated_jpeg_is_an_error(tmp_path):
    path = photo(tmp_path / "frame.jpg", (64, 64))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UdasegError, match=r"frame\.jpg: expected an image, found a damaged"):
        read_image(path)


def test_other_kinds_of_labels_raise(tmp_path):
    colour = photo(tmp_path / "colour.png")
    with pytest.raises(UdasegError, match=r"colour\.png: expected a label of 8-bit ids, found 8-bit RGB"):
        read_label_ids(colour, "cityscapes")
    instances = save(tmp_path / "instances.png", columns([26_001, 7]).astype(np.uint16))
    with pytest.raises(UdasegError, match=r"instances\.png: expected a label of 8-bit ids, found 26001 in 16 bits"):
        read_label_ids(instances, "cityscapes")
    with pytest.raises(UdasegError, match=r"colour\.png.*8-bit RGB") as error:
        read_label_ids(colour, "synthia")
    assert "GT/COLOR" in error.value.hint
    with pytest.raises(UdasegError, match=r"16-bit RGB"):
        read_label_ids(synthia_label(tmp_path / "raw.png"), "cityscapes")
    jpeg = photo(tmp_path / "label.jpg")
    with pytest.raises(UdasegError, match=r"label\.jpg: expected a PNG file"):
        read_label_ids(jpeg, "cityscapes")
    with pytest.raises(UdasegError, match=r"grey\.png: expected a 16-bit depth map, found 8-bit grey"):
        read_depth(label(tmp_path / "grey.png"))
    with pytest.raises(UdasegError, match=r"red channel, found 300"):
        read_label_ids(png16(tmp_path / "big.png", np.full((2, 2, 3), 300, np.uint16)), "synthia")
    with pytest.raises(UdasegError, match=r"adam7\.png.*interlaced"):
        read_depth(png16(tmp_path / "adam7.png", np.zeros((2, 2, 3), np.uint16), interlace=1))


@pytest.mark.parametrize(
    ("kind", "reader"), [("photo", "image"), ("photo", "size"), ("label", "label"), ("16", "depth")]
)
@pytest.mark.parametrize("limit", [5, 15])
def test_decompression_bombs_raise(tmp_path, monkeypatch, kind, reader, limit):
    path = tmp_path / "bomb.png"
    {"photo": photo, "label": label, "16": synthia_label}[kind](path, size=(4, 5))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UdasegError, match=r"bomb\.png.*decompression bomb"):
        READERS[reader](path)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
def test_the_original_synthia_label_agrees_with_its_rendering():
    ids = read_label_ids(SAMPLES / "synthia-seqs/000000_label.png", "synthia")
    colours = read_image(SAMPLES / "synthia-seqs/000000_color.png")
    assert np.unique(ids).tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 12]
    assert (colours[ids == 1] == (128, 128, 128)).all()  # sky
    assert (colours[ids == 3] == (128, 64, 128)).all()  # road


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_images_of_a_turned_camera_are_upright(tmp_path, suffix):
    path, held = tmp_path / f"held{suffix}", Image.new("RGB", (24, 16), (10, 10, 10))
    held.paste((250, 250, 250), (0, 0, 24, 4))  # bright above, where the camera thinks
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: above is to the right
    held.save(path, exif=exif)
    assert read_image(path).shape == (24, 16, 3)
    assert image_size(path) == (24, 16)
    assert read_image(path)[:, -1].min() > 200 > 50 > read_image(path)[:, 0].max()
