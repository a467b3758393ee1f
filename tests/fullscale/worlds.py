"""Tiny datasets in the layouts, encodings and an eighth of the sizes of the real ones, drawn by toytown's renderer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.labels import CODINGS, class_space, train_id_table
from udaseg.toytown.formats import (
    cityscapes_files,
    gta5_files,
    synthia_files,
    video_files,
    write_cityscapes,
    write_gta5,
    write_synthia,
    write_video_frame,
)
from udaseg.toytown.render import Frame, frame
from udaseg.toytown.video import video

SOURCE, TRAIN, VAL = 4, 4, 2  # frames
# Heights and widths of the real images, divided by 8. Those of Mapillary differ; this is one of them.
SIZES = {
    "gta5": (132, 239), "synthia": (95, 160), "cityscapes": (128, 256), "crosscity": (128, 256), "bdd100k": (90, 160),
    "mapillary": (306, 408), "darkzurich": (135, 240), "acdc": (135, 240), "synscapes": (90, 180),
}  # fmt: skip


def _frames(style: str, dataset: str, split: str) -> Iterator[tuple[int, Frame]]:
    for index in range({"source": SOURCE, "train": TRAIN, "val": VAL}[split]):
        yield index, frame(style, 0, index, SIZES[dataset], split == "val")


def gta5(root: Path) -> None:
    """Write images and palette PNGs of Cityscapes ids."""
    for index, one in _frames("gta5", "gta5", "source"):
        write_gta5(gta5_files(root, index), one)


def synthia(root: Path) -> None:
    """Write images, 16-bit labels with ids in red, and 16-bit depth."""
    for index, one in _frames("synthia", "synthia", "source"):
        write_synthia(synthia_files(root, index), one)


def synscapes(root: Path) -> None:
    """Write images and labelIds, numbered from 1."""
    for index, one in _frames("gta5", "synscapes", "source"):
        _save(root / "synscapes/img/rgb" / f"{index + 1}.png", one.image)
        _save(root / "synscapes/img/class" / f"{index + 1}.png", one.label)


def cityscapes(root: Path) -> None:
    """Write images, labelIds, the disparity of both splits, and videos that end with the images of train."""
    for split in ("train", "val"):
        for index, one in _frames("cityscapes", "cityscapes", split):
            write_cityscapes(cityscapes_files(root, index, split, depth=True), one)
    for index in range(TRAIN):
        before, now = (video_files(root, index, offset) for offset in (-1, 0))
        del before["flow"]
        for files, one in zip((before, now), video("cityscapes", 0, index, 2, SIZES["cityscapes"]), strict=True):
            write_video_frame(files, one)


def crosscity(root: Path) -> None:
    """Write four cities: images without labels, and test images with Cityscapes ids."""
    for city in ("Rome", "Rio", "Tokyo", "Taipei"):
        place = root / "crosscity" / city
        for split, part in (("train", "Train"), ("val", "Test")):
            for index, one in _frames("cityscapes", "crosscity", split):
                _save(place / "Images" / part / f"pano_{index:05d}.png", one.image)
                if part == "Test":
                    _save(place / "Labels" / part / f"pano_{index:05d}_eval.png", one.label)


def bdd100k(root: Path) -> None:
    """Write JPEG images and train ids."""
    ids = train_id_table("cityscapes", class_space("cs19"))
    for split in ("train", "val"):
        for index, one in _frames("cityscapes", "bdd100k", split):
            name = f"{index:08x}-00000000"
            _save(root / "bdd100k/images/10k" / split / f"{name}.jpg", one.image)
            _save(root / "bdd100k/labels/sem_seg/masks" / split / f"{name}.png", ids[one.label])


def mapillary(root: Path) -> None:
    """Write JPEG images and palette PNGs of the ids of v1.2."""
    by_name = {name: i for i, name in CODINGS["mapillary-v1.2"].classes.items()}
    ids = np.full(256, 65, np.uint8)  # unlabeled
    for label, name in CODINGS["cityscapes"].classes.items():
        ids[label] = by_name.get(name, 65)
    for split, folder in (("train", "training"), ("val", "validation")):
        for index, one in _frames("cityscapes", "mapillary", split):
            name = f"{index:04d}_mapillary"
            _save(root / "mapillary" / folder / "images" / f"{name}.jpg", one.image)
            _save(root / "mapillary" / folder / "v1.2/labels" / f"{name}.png", ids[one.label], palette=True)


def darkzurich(root: Path) -> None:
    """Write images of the night, and labelIds of val."""
    for split, drive in (("train", "GOPR0351"), ("val", "GOPR0356")):
        for index, one in _frames("cityscapes", "darkzurich", split):
            _write_adverse(root / "darkzurich", f"{split}/night", drive, index, one, labelled=split == "val")


def acdc(root: Path) -> None:
    """Write images of three conditions and labelIds of both splits."""
    for condition in ("fog", "rain", "snow"):
        for split, drive in (("train", "GOPR0475"), ("val", "GOPR0476")):
            for index, one in _frames("cityscapes", "acdc", split):
                _write_adverse(root / "acdc", f"{condition}/{split}", drive, index, one, labelled=True)


WRITERS: dict[str, Callable[[Path], None]] = {
    "gta5": gta5, "synthia": synthia, "cityscapes": cityscapes, "crosscity": crosscity, "bdd100k": bdd100k,
    "mapillary": mapillary, "darkzurich": darkzurich, "acdc": acdc, "synscapes": synscapes,
}  # fmt: skip


def _write_adverse(root: Path, folder: str, drive: str, index: int, one: Frame, *, labelled: bool) -> None:
    name = f"{drive}_frame_{index:06d}"
    _save(root / "rgb_anon" / folder / drive / f"{name}_rgb_anon.png", one.image)
    if labelled:
        _save(root / "gt" / folder / drive / f"{name}_gt_labelIds.png", one.label)


def _save(path: Path, array: np.ndarray, *, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array.astype(np.uint8))
    if palette:
        image.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
    image.save(path)
