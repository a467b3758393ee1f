"""Images in every format that Pillow decodes without loss of meaning."""

import numpy as np
import pytest
from PIL import Image

from udaseg.data import open_images, read_image
from udaseg.data.images.read import image_size
from udaseg.errors import UdasegError

SIZE = (24, 16)  # width, height
RGB = np.stack(np.broadcast_arrays(np.arange(16)[:, None] * 16, np.arange(24) * 10, 90), axis=-1).astype(np.uint8)
SUFFIXES = ("png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "bmp", "webp", "ppm")


def difference(path) -> float:
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image_size(path) == image.shape[:2] == RGB.shape[:2]
    return float(abs(image.astype(int) - RGB).mean())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_as_the_colours_that_were_saved(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    name = {"jfif": "JPEG", "jpe": "JPEG"}.get(suffix)
    lossy = suffix.startswith("j") or suffix == "webp"
    Image.fromarray(RGB).save(path, name, **({"quality": 95} if lossy else {}))
    assert difference(path) < 4 if lossy else difference(path) == 0


def test_a_folder_dataset_lists_every_format(tmp_path):
    (tmp_path / "train/images").mkdir(parents=True)
    for suffix in SUFFIXES:
        name = "JPEG" if suffix in ("jfif", "jpe") else None
        Image.fromarray(RGB).save(tmp_path / f"train/images/{suffix}-{suffix}.{suffix}", name)
    images = open_images("folder", tmp_path, "train")
    assert [record.image.suffix[1:] for record in images.records] == sorted(SUFFIXES)
    assert all(images.image(i).shape == RGB.shape for i in range(len(images)))


@pytest.mark.parametrize("name", ["cmyk.jpg", "cmyk.tif", "rgba.png", "rgba.tif", "rgba.webp", "ycbcr.tif", "lab.tif"])
def test_other_colours_become_rgb(tmp_path, name):
    stem, suffix = name.split(".")
    mode = {"cmyk": "CMYK", "rgba": "RGBA", "ycbcr": "YCbCr", "lab": "LAB"}[stem]
    image = Image.fromarray(RGB)
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    else:
        image = image.convert(mode)
    options = {"jpg": {"quality": 95}, "webp": {"lossless": True}}.get(suffix, {})
    image.save(tmp_path / name, **options)
    assert difference(tmp_path / name) < 4


def test_grey_of_16_bits_is_scaled_to_the_whole_range(tmp_path):
    grey = np.array([[0, 257, 128 * 257, 65_535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "a.tif")
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 65535\n" + grey.astype(">u2").tobytes())
    (tmp_path / "b.pgm").write_bytes(b"P5 4 1 1023\n" + np.array([0, 4, 514, 1023], ">u2").tobytes())
    for name in ("a.png", "a.tif", "a.pgm", "b.pgm"):
        image = read_image(tmp_path / name)
        assert image[0].tolist() == [[v] * 3 for v in (0, 1, 128, 255)], name


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "sixteen"),
    [("jpg", False), ("png", False), ("webp", False), ("tif", False), ("png", True), ("tif", True)],
)
def test_turned_images_are_upright_in_every_format(tmp_path, suffix, turn, sixteen):
    pixels = np.zeros((16, 24), np.uint16 if sixteen else np.uint8)
    pixels[:4] = 65_535 if sixteen else 255
    pixels[:, :3] = 30_000 if sixteen else 117
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"a.{suffix}"
    options = {"jpg": {"quality": 100}, "webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(pixels).save(path, exif=exif, **options)
    image = read_image(path)
    assert image.shape[:2] == image_size(path) == ((24, 16) if turn > 4 else (16, 24))
    top = {1: "top", 2: "top", 3: "bottom", 4: "bottom", 5: "left", 6: "right", 7: "right", 8: "left"}[turn]
    middle = image[image.shape[0] // 2], image[:, image.shape[1] // 2]
    edges = {"top": middle[1][0], "bottom": middle[1][-1], "left": middle[0][0], "right": middle[0][-1]}
    assert max(edges, key=lambda edge: edges[edge].mean()) == top
    assert sorted(edge.tolist() for edge in edges.values()) == [[0] * 3, [0] * 3, [117] * 3, [255] * 3]


def test_values_of_an_unknown_range_and_animations_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.ones((4, 4), np.int32)).save(tmp_path / "int.tif")
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    for name, found in {"float.tif": "mode F", "int.tif": "mode I", "moving.webp": "animation of 2 frames"}.items():
        with pytest.raises(UdasegError, match=rf"{name}.*found.*{found}") as error:
            read_image(tmp_path / name)
        assert "save" in error.value.hint


@pytest.mark.parametrize("suffix", ["tif", "bmp", "webp", "ppm", "jfif"])
def test_a_truncated_file_is_an_error(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, "JPEG" if suffix == "jfif" else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UdasegError, match=rf"a\.{suffix}: expected an image, found a damaged"):
        read_image(path)
