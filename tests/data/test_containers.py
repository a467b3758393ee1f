"""Labels in every container that carries ids without doubt."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.data import open_labelled, read_label_ids
from udaseg.data.check import check
from udaseg.data.datasets.labelmap import voc_colour
from udaseg.errors import UdasegError
from udaseg.labels import CODINGS, SPACES, class_space

from .corpora import CITYSCAPES_IDS, TRAIN_IDS, columns, folder_dataset, gta5, photo, png16

NAMES = ("road", "building", "car", "person")
SPACE = class_space(NAMES)
COLOURS = np.array([(128, 64, 128), (70, 70, 70), (0, 0, 142), (220, 20, 60)], np.uint8)
CLASSES = f"names: [{', '.join(NAMES)}]\n"
PALETTE = f"{CLASSES}palette: {COLOURS.tolist()}\n"
IDS = columns((0, 1, 2, 3, 0, 1, 1, 2)).astype(np.uint8)


def dataset(root: Path, classes: str, write, count: int = 3) -> Path:
    """Write images with labels; `write(path, ids)` writes each label, its path still without a suffix."""
    for folder in ("images", "labels"):
        (root / "train" / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        photo(root / f"train/images/{i}.png", seed=i)
        write(root / f"train/labels/{i}", np.roll(IDS, i, axis=1))
    (root / "classes.yaml").write_text(classes)
    return root


def stored(array, suffix=".png", mode=None):
    def write(path: Path, ids: np.ndarray) -> None:
        image = Image.fromarray(array(ids))
        (image if mode is None else image.convert(mode)).save(path.with_suffix(suffix))

    return write


def indexed(path: Path, ids: np.ndarray) -> None:
    """Write colours as an image optimiser does: a palette in the order in which the colours occur."""
    image = Image.fromarray(COLOURS[ids]).quantize(4, Image.Quantize.MEDIANCUT)
    assert np.array_equal(np.array(image.convert("RGB")), COLOURS[ids])
    image.save(path.with_suffix(".png"))


def optimised(colour_of):
    """Return what writes ids as an optimiser does: the colours of the ids as a palette in another order."""

    def write(path: Path, ids: np.ndarray) -> None:
        image = Image.fromarray(3 - ids)
        image.putpalette([level for i in (3, 2, 1, 0) for level in colour_of(i)])
        image.save(path.with_suffix(".png"))

    return write


def own_palette(path: Path, ids: np.ndarray) -> None:
    image = Image.fromarray(ids)
    image.putpalette(COLOURS.ravel().tolist())
    image.save(path.with_suffix(".png"))


def grey_palette(path: Path, ids: np.ndarray) -> None:
    """Write the ids as indices, with greys to look at that are no ids."""
    image = Image.fromarray(ids)
    image.putpalette([level for i in range(4) for level in (80 * i,) * 3])
    image.save(path.with_suffix(".png"))


def alone(channel: int, others: int = 0, channels: int = 3):
    """Return what puts ids into one channel, and a constant into the others; a fourth one is opaque."""

    def write(ids: np.ndarray) -> np.ndarray:
        pixels = np.full((*ids.shape, channels), others, np.uint8)
        pixels[..., 3:] = 255
        pixels[..., channel] = ids
        return pixels

    return write


def red16(path: Path, ids: np.ndarray) -> None:
    png16(path.with_suffix(".png"), alone(0)(ids).astype(np.uint16))


CONTAINERS = {
    "grey": (CLASSES, stored(lambda ids: ids), None),
    "grey with alpha": (CLASSES, stored(lambda ids: ids, mode="LA"), None),
    "palette": (CLASSES, own_palette, None),
    "palette, colours given": (PALETTE, own_palette, None),
    "palette of an optimiser": (PALETTE, indexed, "one colour for each class"),
    "grey, made a palette": (CLASSES, optimised(lambda i: (i, i, i)), "ids in the red values of their colours"),
    "CARLA, made a palette": (CLASSES, optimised(lambda i: (i, 0, 0)), "ids in the red values of their colours"),
    "channel named, made a palette": (
        f"{CLASSES}channel: blue\n",
        optimised(lambda i: (0, 0, i)),
        "ids in the blue channel",
    ),
    "grey palette of other values": (CLASSES, grey_palette, None),
    "grey, 16 bits": (CLASSES, stored(lambda ids: ids.astype(np.uint16)), "16-bit grey ids"),
    "grey TIFF": (CLASSES, stored(lambda ids: ids, ".tif"), None),
    "grey BMP": (CLASSES, stored(lambda ids: ids, ".bmp"), None),
    "colours": (PALETTE, stored(lambda ids: COLOURS[ids]), "one colour for each class"),
    "colours with alpha": (PALETTE, stored(lambda ids: COLOURS[ids], mode="RGBA"), "one colour for each class"),
    "colours in TIFF": (PALETTE, stored(lambda ids: COLOURS[ids], ".tiff"), "one colour for each class"),
    "three equal channels": (CLASSES, stored(lambda ids: np.stack([ids] * 3, -1)), "RGB with the id in all three"),
    "equal, colours given": (PALETTE, stored(lambda ids: np.stack([ids] * 3, -1)), "RGB with the id in all three"),
    "CARLA, raw": (CLASSES, stored(alone(0, channels=4)), "ids in the red channel, the others are zero"),
    "blue alone": (CLASSES, stored(alone(2)), "ids in the blue channel, the others are zero"),
    "channel named": (f"{CLASSES}channel: green\n", stored(alone(1, 77)), "ids in the green channel"),
    "channel named, 16 bits": (f"{CLASSES}channel: red\n", red16, "ids in the red channel"),
    "red alone, 16 bits": (CLASSES, red16, "ids in the red channel, the others are zero"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_ids_and_is_stated(tmp_path, name):
    classes, write, note = CONTAINERS[name]
    images = open_labelled("folder", dataset(tmp_path, classes, write), "train", SPACE)
    for i in range(3):
        assert np.array_equal(images.label(i), np.roll(IDS, i, axis=1))
        assert np.array_equal(pickle.loads(pickle.dumps(images)).label(i), images.label(i))
    stated = [text for text in images.notes if text.startswith("label files")]
    assert stated == [] if note is None else note in stated[0]
    report = check(tmp_path)
    assert report.ok
    assert [f.message for f in report.findings if f.message.startswith("label files")] == stated
    assert report.splits[0].ids == dict(enumerate((3 * np.bincount(IDS.ravel())).tolist()))


def test_colours_of_no_class_are_counted_and_can_be_ignored(tmp_path):
    def write(path, ids):
        pixels = COLOURS[ids]
        pixels[0] = 0
        pixels[1, :2] = (9, 9, 9)
        Image.fromarray(pixels).save(path.with_suffix(".png"))

    images = open_labelled("folder", dataset(tmp_path, PALETTE, write), "train", SPACE)
    with pytest.raises(
        UdasegError, match=r"0\.png: .*found 2 of 6 colours that no class has, on 20\.83% of the"
    ) as error:
        images.label(0)
    assert not check(tmp_path).ok
    hint = error.value.hint
    (tmp_path / "classes.yaml").write_text(PALETTE + hint[hint.index("ignore: ") :])  # as the hint says
    expected = IDS.copy()
    expected[0] = expected[1, :2] = 255
    assert np.array_equal(open_labelled("folder", tmp_path, "train", SPACE).label(0), expected)
    assert check(tmp_path).ok


def test_smoothed_masks_are_refused_with_the_cause(tmp_path):
    def write(path, ids):
        image = Image.fromarray(COLOURS[ids]).resize((64, 48), Image.Resampling.BICUBIC)
        image.save(path.with_suffix(".png"))

    images = open_labelled("folder", dataset(tmp_path, PALETTE, write), "train", SPACE)
    with pytest.raises(UdasegError, match="colours that no class has") as error:
        images.full_label(0)
    assert "smoothed" in error.value.hint or "ignore" in error.value.hint


def test_colours_without_a_palette_are_refused_and_the_hint_reads_them(tmp_path):
    dataset(tmp_path, CLASSES, stored(lambda ids: COLOURS[ids]))
    with pytest.raises(
        UdasegError, match=r"0\.png: expected a label of 8-bit ids, found 8-bit RGB of 4 colours"
    ) as error:
        open_labelled("folder", tmp_path, "train", SPACE)
    assert "palette: [[128, 64, 128]" in error.value.hint
    assert "channel: red" in error.value.hint
    assert [f.message for f in check(tmp_path).findings if f.severity == "error"] == [error.value.message]


def test_a_binary_mask_in_one_channel_is_in_doubt(tmp_path):
    """Red for the object, black for the rest: 255 is no id, and would all be ignored."""
    dataset(tmp_path, CLASSES, stored(lambda ids: alone(0)(np.where(ids == 2, 255, 0))))
    with pytest.raises(UdasegError, match="8-bit RGB of 2 colours"):
        open_labelled("folder", tmp_path, "train", SPACE)


def test_two_classes_of_one_colour_cannot_be_told_apart(tmp_path):
    classes = f"{CLASSES}palette: [[128, 64, 128], [70, 70, 70], [70, 70, 70], [220, 20, 60]]\n"
    dataset(tmp_path, classes, stored(lambda ids: COLOURS[ids]))
    with pytest.raises(UdasegError, match=r"a colour of its own for each class, found \(70, 70, 70\) of 2 classes"):
        open_labelled("folder", tmp_path, "train", SPACE)


@pytest.mark.parametrize(
    ("suffix", "found"), [(".jpg", "a JPEG, which changes ids"), (".webp", "a WebP, which changes ids")]
)
def test_lossy_labels_are_refused(tmp_path, suffix, found):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(IDS).save(path)
    with pytest.raises(UdasegError, match=found):
        read_label_ids(path, "trainids")


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_ids_of_32_bits_are_read(tmp_path, kind):
    """As in https://github.com/MIC-DKFZ/nnDetection/pull/331 and https://github.com/mobie/mobie-viewer-fiji/issues/1273."""
    folder_dataset(tmp_path)
    for path in list((tmp_path / "train/labels").iterdir()):
        Image.fromarray(np.asarray(Image.open(path)).astype(kind)).save(path.with_suffix(".tif"))
        path.unlink()
    images = open_labelled("folder", tmp_path, "train", class_space(["road", "car"]))
    assert set(images.label(0).ravel().tolist()) == {0, 1}
    assert "label files: 32-bit ids" in images.notes


@pytest.mark.parametrize(
    ("value", "kind"), [(-9999, np.int32), (70000, np.int32), (0.5, np.float32), (float("nan"), np.float32)]
)
def test_values_of_32_bits_that_are_no_ids_are_refused(tmp_path, value, kind):
    Image.fromarray(np.array([[1, value]], kind)).save(tmp_path / "a.tif")
    with pytest.raises(UdasegError, match=rf"a\.tif: expected a label of whole ids, found {value:g} in 32 bits"):
        read_label_ids(tmp_path / "a.tif", "trainids")


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_gta5_saved_again_in_its_colours(tmp_path, mode):
    gta5(tmp_path)
    colours = {i: colour for colour, i in reversed(CODINGS["cityscapes"].colours)}
    for path in (tmp_path / "labels").iterdir():
        pixels = np.array([[colours[i] for i in row] for row in columns(CITYSCAPES_IDS).tolist()], np.uint8)
        image = Image.fromarray(pixels)
        (image if mode == "RGB" else image.quantize(8, Image.Quantize.MEDIANCUT)).save(path)
    images = open_labelled("gta5", tmp_path, "train", SPACES["cs19"])
    assert images.coding == "cityscapes"
    assert images.label(1)[0].tolist() == list(TRAIN_IDS)
    assert "label files: one colour for each class" in images.notes


LABELMAP = """# label:color_rgb:parts:actions
background:0,0,0::
road:128,64,128::
car:0,0,142::wheel,door
"""


@pytest.mark.parametrize("in_split", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_mask_export_of_cvat_is_a_split(tmp_path, in_split, mode):
    split = tmp_path / "val"
    ids, colours = columns((0, 1, 2, 1)).astype(np.uint8), np.array([(0, 0, 0), (128, 64, 128), (0, 0, 142)], np.uint8)
    photo(split / "JPEGImages/a.jpg")
    (split / "SegmentationClass").mkdir()
    image = Image.fromarray(colours[ids])
    if mode == "P":
        image = Image.fromarray(ids)
        image.putpalette(colours.ravel().tolist())
    image.save(split / "SegmentationClass/a.png")
    ((split if in_split else tmp_path) / "labelmap.txt").write_text(LABELMAP)
    images = open_labelled("folder", tmp_path, "val", class_space(["car", "road"]))
    assert images.label(0)[0, :4].tolist() == [255, 1, 0, 1]
    assert "labels: ids of labelmap.txt" in images.notes
    report = check(tmp_path)
    assert report.ok
    assert report.splits[0].classes == {"background": 0.25, "road": 0.5, "car": 0.25}


def test_pascal_voc_as_published(tmp_path):
    """Palette PNGs of VOC's colours, 255 for the outlines."""
    image = Image.fromarray(columns((0, 7, 15, 255)).astype(np.uint8))
    image.putpalette([level for i in range(256) for level in voc_colour(i)])
    photo(tmp_path / "train/JPEGImages/a.jpg")
    (tmp_path / "train/SegmentationClass").mkdir()
    image.save(tmp_path / "train/SegmentationClass/a.png")
    names = {0: "background", 7: "car", 15: "person"}
    (tmp_path / "labelmap.txt").write_text("\n".join(f"{names.get(i, f'class {i}')}:::" for i in range(21)))
    images = open_labelled("folder", tmp_path, "train", class_space(["car", "person"]))
    assert images.label(0)[0, :4].tolist() == [255, 0, 1, 255]
    assert voc_colour(1) == (128, 0, 0)
    assert voc_colour(15) == (192, 128, 128)
    assert voc_colour(20) == (0, 64, 128)
    assert voc_colour(255) == (224, 224, 192)


@pytest.mark.parametrize("text", ["road:1,2::", "road:a,b,c::", "road:1,2,300::", "road:1,2,3::\nroad:4,5,6::", ""])
def test_a_broken_labelmap_is_an_error(tmp_path, text):
    photo(tmp_path / "train/images/a.jpg")
    (tmp_path / "train/labels").mkdir()
    Image.fromarray(IDS).save(tmp_path / "train/labels/a.png")
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(UdasegError) as error:
        open_labelled("folder", tmp_path, "train", SPACE)
    assert "labelmap.txt" in error.value.message
    assert "road:128,64,128::" in error.value.hint


@pytest.mark.parametrize("line", ["channel: alpha", "channel: 0", "ignore: [[0, 0]]", "ignore: [[0, 0, 256]]"])
def test_a_wrong_channel_or_colour_in_classes_yaml_is_an_error(tmp_path, line):
    dataset(tmp_path, f"{CLASSES}{line}\n", own_palette)
    with pytest.raises(UdasegError, match=r"classes\.yaml: expected"):
        open_labelled("folder", tmp_path, "train", SPACE)
