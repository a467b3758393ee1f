"""Images without a dataset: folders, single files, animations; and videos, of which frames have to be made."""

import numpy as np
import pytest
from PIL import Image

from udaseg.data.images.loose import open_loose_images
from udaseg.errors import UdasegError
from udaseg.parallel import threads
from udaseg.parallel.threads import map_in_order

from .corpora import photo


def test_a_folder_lists_its_images_of_any_size_those_of_sub_folders_too_and_names_other_files(tmp_path):
    photo(tmp_path / "b.png", (4, 6))
    photo(tmp_path / "a.jpg", (8, 3))
    photo(tmp_path / "inner/b.png", (2, 5))
    photo(tmp_path / "inner/c.png", (4, 6))
    (tmp_path / "inner/more").symlink_to(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "inner/clip.gif").write_bytes(b"")
    (tmp_path / ".hidden.png").write_text("")
    shots = open_loose_images(tmp_path)
    assert shots.stems == ("a", "b", "inner_b", "c")
    assert [shots.size(i) for i in range(4)] == [(8, 3), (4, 6), (2, 5), (4, 6)]
    assert [shots.image(i).shape for i in range(3)] == [(8, 3, 3), (4, 6, 3), (2, 5, 3)]
    assert shots.other_files == ("inner/clip.gif", "notes.txt")
    assert shots.folders == {"inner": 2}


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "tif", "tiff", "bmp", "webp", "ppm", "pgm", "PNG"])
def test_a_folder_lists_images_of_every_format(tmp_path, suffix):
    image = Image.new("L" if suffix == "pgm" else "RGB", (6, 4))
    image.save(tmp_path / f"a.{suffix}", format="JPEG" if suffix == "jfif" else None)
    shots = open_loose_images(tmp_path)
    assert (shots.stems, shots.image(0).shape, shots.other_files) == (("a",), (4, 6, 3), ())


def test_a_image_is_upright_however_the_camera_was_held(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    for orientation, turned in ((1, image), (3, image[::-1, ::-1]), (6, np.rot90(image)), (8, np.rot90(image, -1))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / "held.png", exif=exif)
        shots = open_loose_images(tmp_path / "held.png")
        assert shots.size(0) == (6, 10)
        assert np.array_equal(shots.image(0), image)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_gives_its_frames_in_order(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 8), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"clip.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    shots = open_loose_images(tmp_path / f"clip.{suffix}")
    assert shots.stems == ("000001", "000002", "000003")
    assert shots.size(2) == (8, 16)
    assert [shots.image(i)[4, 8].argmax() for i in (0, 1, 2)] == [0, 1, 2]


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_threads_that_read_ahead_get_the_frames_of_an_animation(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(threads, "cores", lambda: 8)
    frames = [np.full((200, 300, 3), 4 * i, np.uint8) for i in range(60)]
    first, *more = map(Image.fromarray, frames)
    first.save(tmp_path / f"clip.{suffix}", save_all=True, append_images=more, lossless=True)
    shots = open_loose_images(tmp_path / f"clip.{suffix}")
    for _ in range(3):
        for i, image in enumerate(map_in_order(shots.image, range(60))):
            assert np.array_equal(image, frames[i])


def test_a_folder_of_videos_says_that_they_are_labelled_one_by_one(tmp_path):
    (tmp_path / "my clip.MP4").write_bytes(b"")
    with pytest.raises(UdasegError, match="holds no image") as caught:
        open_loose_images(tmp_path)
    assert f"name {tmp_path}/my clip.MP4" in caught.value.hint


def test_a_folder_without_images_raises_with_a_hint(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("")
    with pytest.raises(UdasegError) as caught:
        open_loose_images(tmp_path)
    assert "supported are png, jpg, jpeg, jfif" in caught.value.hint
    for place, words in (("nowhere", "there is no image"), ("empty", "holds no image"), ("list.csv", "found .csv")):
        with pytest.raises(UdasegError, match=words):
            open_loose_images(tmp_path / place)


def test_two_images_of_one_stem_and_damaged_ones_are_named(tmp_path):
    photo(tmp_path / "a.png")
    (tmp_path / "b.gif").write_bytes(b"GIF89a")
    with pytest.raises(UdasegError, match=r"b\.gif"):
        open_loose_images(tmp_path / "b.gif")
    photo(tmp_path / "a.jpg")
    with pytest.raises(UdasegError, match=r"a\.jpg and a\.png"):
        open_loose_images(tmp_path)
