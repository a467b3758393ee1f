"""Tiny datasets in the layouts and encodings of the real ones."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (6, 8)
CITYSCAPES_IDS = (7, 8, 11, 21, 23, 26, 33, 0)
SYNTHIA_IDS = (3, 4, 2, 6, 1, 8, 11, 0)
TRAIN_IDS = (0, 1, 2, 8, 10, 13, 18, 255)


def columns(values, size=SIZE) -> np.ndarray:
    """Give each column one of the values."""
    return np.tile(np.resize(np.array(values), size[1]), (size[0], 1))


def street(sky: int, building: int, road: int, car: int, size=(48, 96)) -> np.ndarray:
    """Lay out the ids of a street: the sky above, the road below with a car on it, buildings between."""
    label, (height, width) = np.full(size, building, np.uint8), size
    label[: height // 3] = sky
    label[height // 2 :] = road
    label[height // 2 : 2 * height // 3, width // 4 : width // 2] = car
    return label


def save(path: Path, array: np.ndarray, *, palette: bool = False) -> Path:
    """Write an array as an image: uint8 grey or RGB, uint16 grey; with `palette` as a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image.putpalette([value for i in range(256) for value in (255 - i, i // 2, i)])
    image.save(path)
    return path


def photo(path: Path, size=SIZE, seed=0) -> Path:
    return save(path, np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8))


def label(path: Path, values=CITYSCAPES_IDS, size=SIZE, *, palette: bool = False) -> Path:
    return save(path, columns(values, size).astype(np.uint8), palette=palette)


def png16(path: Path, channels_HWC: np.ndarray, filters=(0, 1, 2, 3, 4), *, interlace: int = 0) -> Path:
    """Encode a 16-bit RGB PNG; row y uses filter y modulo the given ones. PNG specification, sections 9.2 to 9.4."""
    height, width, _ = channels_HWC.shape
    rows = channels_HWC.astype(">u2").tobytes()
    stride = width * 6
    lines, above = [], bytes(stride)
    for y in range(height):
        line, kind = rows[y * stride : (y + 1) * stride], filters[y % len(filters)]
        out = bytearray([kind])
        for i, byte in enumerate(line):
            a, b, c = (line[i - 6] if i >= 6 else 0), above[i], (above[i - 6] if i >= 6 else 0)
            nearest = min((a, b, c), key=lambda v: abs(a + b - c - v))
            out.append((byte - (0, a, b, (a + b) // 2, nearest)[kind]) & 255)
        lines.append(bytes(out))
        above = line
    data = zlib.compress(b"".join(lines))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, interlace)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [(b"IHDR", header), (b"IDAT", data[: len(data) // 2]), (b"IDAT", data[len(data) // 2 :]), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def synthia_label(path: Path, values=SYNTHIA_IDS, size=SIZE, **more) -> Path:
    """Write a label as SYNTHIA does: ids in red, instances in green."""
    ids = columns(values, size)
    return png16(path, np.stack([ids, ids * 700 % 65536, ids * 0], axis=-1).astype(np.uint16), **more)


def gta5(root: Path, count: int = 3) -> Path:
    for i in range(1, count + 1):
        photo(root / "images" / f"{i:05d}.png", seed=i)
        label(root / "labels" / f"{i:05d}.png", palette=True)
    return root


def synthia(root: Path, count: int = 3, *, depth: bool = True) -> Path:
    for i in range(count):
        photo(root / "RGB" / f"{i:07d}.png", seed=i)
        synthia_label(root / "GT" / "LABELS" / f"{i:07d}.png")
        if depth:
            save(root / "Depth" / "Depth" / f"{i:07d}.png", columns(range(100, 900, 100)).astype(np.uint16))
    return root


def cityscapes(root: Path, split: str = "val", cities=("aachen", "bonn"), ending: str = "labelIds") -> Path:
    for city in cities:
        for i in range(2):
            name = f"{city}_{i:06d}_000019"
            photo(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", seed=i)
            values = CITYSCAPES_IDS if ending == "labelIds" else TRAIN_IDS
            label(root / "gtFine" / split / city / f"{name}_gtFine_{ending}.png", values)
    return root


def folder_dataset(
    root: Path, names: tuple[str, ...] = ("a", "b"), classes: str | None = "names: [road, car]", ids=(0, 1)
) -> Path:
    for name in names:
        photo(root / "train" / "images" / f"{name}.jpg")
        label(root / "train" / "labels" / f"{name}.png", ids)
    if classes is not None:
        (root / "classes.yaml").write_text(classes, encoding="utf-8")
    return root
