"""What toytown writes: the formats, resuming, and the same bytes whoever makes them."""

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.data import open_images, open_labelled, read_depth
from udaseg.data.target_depth import open_target_depth
from udaseg.errors import UdasegError
from udaseg.io.files import PARTIAL
from udaseg.labels import CODINGS, SPACES
from udaseg.toytown.formats import SYNTHIA_ID
from udaseg.toytown.render import frame
from udaseg.toytown.world import make_toytown

SIZE = (64, 128)
COUNTS = {"source": 2, "target_train": 3, "target_val": 1}


def digests(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("world")
    make_toytown(out, **COUNTS, size=SIZE, workers=1)
    return out


def unpack16(data: bytes) -> np.ndarray:
    """Read a 16-bit RGB PNG without filters, by the book."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[0][1][:10])
    assert (depth, colour) == (16, 2)
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + 6 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].copy().view(">u2").reshape(height, width, 3)


def test_files_have_the_names_of_the_datasets(world):
    assert set(digests(world)) == {
        "toytown.json",
        *(f"gta5/{part}/{i:05d}.png" for part in ("images", "labels") for i in (1, 2)),
        *(f"synthia/{part}/{i:07d}.png" for part in ("RGB", "GT/LABELS", "Depth/Depth") for i in (0, 1)),
        *(
            f"cityscapes/{part}/{split}/{city}/{city}_000000_000019_{name}.png"
            for part, name in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds"))
            for split, city in (("train", "aachen"), ("train", "bochum"), ("train", "hamburg"), ("val", "frankfurt"))
        ),
        *(
            f"cityscapes/{part}/val/frankfurt/frankfurt_000000_000019_{part}.{suffix}"
            for part, suffix in (("disparity", "png"), ("camera", "json"))
        ),
    }


def test_gta5_labels_are_palette_pngs_of_cityscapes_ids(world):
    with Image.open(world / "gta5/labels/00002.png") as image:
        assert image.mode == "P"
        ids, palette = np.asarray(image), np.array(image.getpalette()).reshape(-1, 3)
    rendered = frame("gta5", 0, 1, SIZE)
    np.testing.assert_array_equal(ids, rendered.label)
    for index, name in ((7, "road"), (33, "bicycle")):
        space = SPACES["cs19"]
        assert tuple(palette[index]) == space.palette[space.classes.index(name)]
    assert not palette[4].any()
    with Image.open(world / "gta5/images/00002.png") as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), rendered.image)


def test_synthia_labels_and_depth_are_16_bit(world):
    rendered = frame("synthia", 0, 1, SIZE)
    label = unpack16((world / "synthia/GT/LABELS/0000001.png").read_bytes())
    names = CODINGS["synthia"].classes
    for city, name in CODINGS["cityscapes"].classes.items():
        expected = name if name in names.values() else "void"
        assert all(names[i] == expected for i in np.unique(label[..., 0][rendered.label == city]))
    np.testing.assert_array_equal(label[..., 1], rendered.instance)
    assert not label[..., 2].any()
    depth = unpack16((world / "synthia/Depth/Depth/0000001.png").read_bytes())
    for channel in range(3):
        np.testing.assert_array_equal(depth[..., channel], rendered.depth_cm)
    np.testing.assert_array_equal(read_depth(world / "synthia/Depth/Depth/0000001.png"), rendered.depth_cm)


def test_synthia_has_an_id_for_each_of_the_19_classes():
    assert {CODINGS["cityscapes"].classes[i] for i in np.flatnonzero(SYNTHIA_ID)} == set(SPACES["cs19"].classes)
    assert (SYNTHIA_ID[22], SYNTHIA_ID[27], SYNTHIA_ID[31]) == (16, 18, 20)


def test_cityscapes_labels_are_grey_label_ids(world):
    stem = "val/frankfurt/frankfurt_000000_000019"
    with Image.open(world / f"cityscapes/gtFine/{stem}_gtFine_labelIds.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), frame("cityscapes", 0, 0, SIZE, split=1).label)


def test_cityscapes_depth_is_that_of_the_frame(world):
    images = open_labelled("cityscapes", world / "cityscapes", "val", SPACES["cs19"])
    rendered = frame("cityscapes", 0, 0, SIZE, split=1).depth_cm
    near = rendered < 8000
    assert near.mean() > 0.3
    np.testing.assert_allclose(images.depth(0)[near], rendered[near], rtol=0.02)
    assert not images.depth(0)[rendered == 65535].any()
    assert not open_labelled("cityscapes", world / "cityscapes", "train", SPACES["cs19"]).has_depth


def test_depth_of_the_training_frames_is_made_when_asked_for_and_changes_no_other_file(world, tmp_path):
    make_toytown(tmp_path, **COUNTS, size=SIZE, workers=1)
    make_toytown(tmp_path, **COUNTS, size=SIZE, workers=1, depth=True)
    before, after = digests(world), digests(tmp_path)
    assert {name: after[name] for name in before} == before
    folders = {name.partition("/train/")[0] for name in after.keys() - before.keys()}
    assert (folders, len(after) - len(before)) == (
        {"cityscapes/disparity", "cityscapes/camera", "cityscapes/depth"},
        3 * COUNTS["target_train"],
    )
    images = open_images("cityscapes", tmp_path / "cityscapes", "train")
    stem, rendered = images.records[0].stem, frame("cityscapes", 0, 0, SIZE)
    inverse = 65536 / (rendered.depth_cm.astype(float) + 1)
    exact = open_target_depth(images, "disparity").read(stem)
    near = rendered.depth_cm < 8000
    np.testing.assert_allclose(exact[near], inverse[near], rtol=0.02)
    assert not exact[rendered.depth_cm == 65535].any()
    relative = open_target_depth(images, "relative").read(stem)
    assert (relative.min(), relative.max()) == (1, 256)
    factor, constant = np.polyfit(inverse.ravel(), relative.ravel(), 1)
    np.testing.assert_allclose(relative, factor * inverse + constant, atol=1)


def test_bytes_depend_on_the_seed_alone(world, tmp_path):
    make_toytown(tmp_path / "again", **COUNTS, size=SIZE, workers=3)
    assert digests(tmp_path / "again") == digests(world)
    make_toytown(tmp_path / "other", source=1, target_train=1, target_val=1, synthia=0, size=SIZE, seed=1)
    other = digests(tmp_path / "other")
    assert not any(name.startswith("synthia") for name in other)
    assert all(digest != digests(world)[name] for name, digest in other.items())


def test_a_killed_run_goes_on(world, tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, total):
        assert total == 8
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        make_toytown(tmp_path, **COUNTS, size=SIZE, workers=1, progress=kill)
    assert all(digests(world)[name] == digest for name, digest in digests(tmp_path).items())
    half = tmp_path / f"gta5/images/{PARTIAL}x.png"
    half.write_bytes(b"half an image")
    (tmp_path / "gta5/labels/00001.png").unlink()
    kept = tmp_path / "gta5/images/00002.png"
    before = kept.stat().st_mtime_ns
    seen = []
    make_toytown(tmp_path, **COUNTS, size=SIZE, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert digests(tmp_path) == digests(world)
    assert kept.stat().st_mtime_ns == before
    assert seen[0][0] >= 2
    assert seen[-1] == (8, 8)
    assert [done for done, _ in seen] == list(range(seen[0][0], 9))


def test_more_frames_can_be_added_later(world, tmp_path):
    make_toytown(tmp_path, source=1, target_train=1, target_val=0, size=SIZE)
    make_toytown(tmp_path, **COUNTS, size=SIZE)
    assert digests(tmp_path) == digests(world)


def test_two_worlds_do_not_mix(world, tmp_path):
    with pytest.raises(UdasegError, match=r"holds another toytown: seed 0 \(expected: 5\)"):
        make_toytown(world, **COUNTS, size=SIZE, seed=5)
    (tmp_path / "gta5/images").mkdir(parents=True)
    with pytest.raises(UdasegError, match="toytown did not write it"):
        make_toytown(tmp_path, **COUNTS, size=SIZE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": -1}, "source: expected a count"),
        ({"seed": -1}, "seed"),
        ({"size": (16, 128)}, "found 16x128"),
        ({"workers": 0}, "workers"),
    ],
)
def test_settings_out_of_range_raise(tmp_path, settings, message):
    with pytest.raises(UdasegError, match=message):
        make_toytown(tmp_path / "out", **{**COUNTS, **settings})
    assert not (tmp_path / "out").exists()
